"""Read-outs: what a network's output says of the clean target, relative to an origin.

Each is linear. With r = x_0 - origin, x = alpha x_0 + sigma noise and x - alpha origin, which is
alpha r + sigma noise,

    x_0 = origin + gain * (x - alpha * origin) + scale * output

so that an error of the output is one of x_0 times `scale`. One more read-out is a function of
(alpha, sigma, spread) and a line in PREDICTIONS; `spread` is the standard deviation of r.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Readout(NamedTuple):
    """The two numbers of a read-out, of the shapes of alpha, sigma and spread together."""

    gain: jax.Array
    scale: jax.Array


def x0(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> Readout:
    """Read r off the output."""
    return Readout(jnp.zeros_like(alpha), jnp.ones_like(alpha))


def eps(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> Readout:
    """Read the noise off the output (Ho et al. 2020)."""
    return Readout(1 / alpha, -sigma / alpha)


def v(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> Readout:
    """Read alpha noise - sigma r off the output (Salimans & Ho 2022)."""
    total = alpha**2 + sigma**2
    return Readout(alpha / total, -sigma / total)


def flow(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> Readout:
    """Read noise - r off the output: a flow's velocity (Lipman et al. 2023, Liu et al. 2023)."""
    total = alpha + sigma
    return Readout(1 / total, -sigma / total)


def edm(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> Readout:
    """Read what the best linear estimate of r misses, in units of that error's deviation.

    Karras et al. 2022, eq. 7, for any alpha and sigma and a residual of known spread.
    """
    total = variance(alpha, sigma, spread)
    # Not sigma / sqrt(total): one device and several would round that differently.
    return Readout(alpha * spread**2 / total, spread * jnp.sqrt(sigma**2 / total))


def variance(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> jax.Array:
    """Return the variance of x - alpha origin."""
    return (alpha * spread) ** 2 + sigma**2


PREDICTIONS = {"x0": x0, "eps": eps, "v": v, "edm": edm, "flow": flow}
