"""Read-outs: how a network's output gives the clean target, relative to an origin.

Each is linear. With r = x_0 - origin and x = alpha x_0 + sigma noise, so that x - alpha origin is
alpha r + sigma noise,

    x_0 = origin + gain * (x - alpha * origin) + scale * output

An error of the output, times `scale`, is the error of x_0. To add a read-out: a function of (alpha,
sigma, spread) and a line in PREDICTIONS; `spread` is the standard deviation of r.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Readout(NamedTuple):
    """The coefficients of a read-out, in the broadcast shape of alpha, sigma and spread."""

    gain: jax.Array
    scale: jax.Array


def x0(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> Readout:
    """Take the output as r."""
    return Readout(jnp.zeros_like(alpha), jnp.ones_like(alpha))


def eps(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> Readout:
    """Take the output as the noise (Ho et al. 2020)."""
    return Readout(1 / alpha, -sigma / alpha)


def v(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> Readout:
    """Take the output as alpha noise - sigma r (Salimans & Ho 2022)."""
    total = alpha**2 + sigma**2
    return Readout(alpha / total, -sigma / total)


def flow(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> Readout:
    """Take the output as noise - r, a flow's velocity (Lipman et al. 2023, Liu et al. 2023)."""
    total = alpha + sigma
    return Readout(1 / total, -sigma / total)


def edm(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> Readout:
    """Take the output as the error of the best linear estimate of r, in units of its deviation.

    Karras et al. 2022, eq. 7, for any alpha and sigma and a residual of known spread.
    """
    total = variance(alpha, sigma, spread)
    # Not sigma / sqrt(total): one device and several would round that differently.
    return Readout(alpha * spread**2 / total, spread * jnp.sqrt(sigma**2 / total))


def variance(alpha: jax.Array, sigma: jax.Array, spread: jax.Array) -> jax.Array:
    """Return the variance of x - alpha origin."""
    return (alpha * spread) ** 2 + sigma**2


PREDICTIONS = {"x0": x0, "eps": eps, "v": v, "edm": edm, "flow": flow}
