"""The diffusion process: schedules, noising, and what the network's output means.

Ho et al. 2020 (linear schedule), Nichol & Dhariwal 2021 (cosine), Salimans & Ho 2022 (v).
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError

SCHEDULES = ("cosine", "linear")
PREDICTIONS = ("x0", "eps", "v", "edm")
VARIANCES = ("fixed_small", "fixed_large")


@dataclasses.dataclass(frozen=True, eq=False)
class Process:
    """A discrete variance-preserving diffusion, x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise."""

    alpha_bar: np.ndarray  # [T] float64, decreasing, in (0, 1)
    prediction: str

    @property
    def n_steps(self) -> int:
        return len(self.alpha_bar)

    def signal(self, t: jax.Array) -> jax.Array:
        """alpha_bar at t [...] int in 0..T-1."""
        return jnp.asarray(self.alpha_bar, jnp.float32)[t]

    def variance(self, t: jax.Array) -> jax.Array:
        """1 - alpha_bar at t, of which a float32 alpha_bar near 1 would leave few digits."""
        return jnp.asarray(1 - self.alpha_bar, jnp.float32)[t]

    def add_noise(self, clean: jax.Array, noise: jax.Array, t: jax.Array) -> jax.Array:
        """Clean and noise [B, ...], t [B] -> noisy [B, ...]."""
        chex.assert_equal_shape([clean, noise], custom_message="clean, noise [B, ...]")
        a, b = self._at(t, clean)
        return jnp.sqrt(a) * clean + jnp.sqrt(b) * noise

    def shown(
        self, noisy: jax.Array, start: jax.Array, t: jax.Array, spread: jax.Array
    ) -> jax.Array:
        """What the network sees of the noisy target [B, ...]; arguments as in `clean_estimate`."""
        chex.assert_equal_shape([noisy, start], custom_message="noisy, start [B, ...]")
        chex.assert_is_broadcastable(spread.shape, noisy.shape, custom_message="spread [B, ...]")
        if self.prediction != "edm":
            return noisy
        a, b = self._at(t, noisy)
        return (noisy - jnp.sqrt(a) * start) / jnp.sqrt(a * spread**2 + b)

    def clean_estimate(
        self,
        output: jax.Array,
        noisy: jax.Array,
        start: jax.Array,
        t: jax.Array,
        spread: jax.Array,
    ) -> jax.Array:
        """The estimate of x_0 that a network's output stands for.

        `eps` gives the noise. In all others the network predicts relative to the start (zero where
        there is none): `x0` gives x_0 = start + output; `v` gives v = output - sqrt(1 - a) start;
        `edm` gives the best linear estimate of x_0 - start from the noisy target, plus the output
        in units of that estimate's error (Karras et al. 2022, eq. 7, for a variance-preserving
        process and a residual of known spread).

        Args:
            output: [B, ...] of the network.
            noisy: [B, ...].
            start: [B, ...].
            t: [B].
            spread: standard deviation of x_0 - start, of a shape that broadcasts to [B, ...].
        """
        same = [output, noisy, start]
        chex.assert_equal_shape(same, custom_message="output, noisy, start [B, ...]")
        chex.assert_is_broadcastable(spread.shape, noisy.shape, custom_message="spread [B, ...]")
        if self.prediction == "x0":
            return start + output
        a, b = self._at(t, noisy)
        if self.prediction == "eps":
            return (noisy - jnp.sqrt(b) * output) / jnp.sqrt(a)
        if self.prediction == "v":
            return jnp.sqrt(a) * noisy + b * start - jnp.sqrt(b) * output
        total = a * spread**2 + b  # variance of noisy - sqrt(a) start
        linear = jnp.sqrt(a) * spread**2 / total * (noisy - jnp.sqrt(a) * start)
        return start + linear + spread * jnp.sqrt(b / total) * output

    def loss_weight(self, t: jax.Array, spread: jax.Array) -> jax.Array:
        """Weight that turns the squared error of x_0 into that of the output.

        It broadcasts to [B, ...]. Where the spread is zero nothing can be learned, and the weight
        is zero.
        """
        a, b = self._at(t, spread)
        if self.prediction == "x0":
            return jnp.ones_like(a)
        if self.prediction == "eps":
            return a / b
        if self.prediction == "v":
            return 1 / b
        square = jnp.where(spread > 0, spread, 1.0) ** 2
        return jnp.where(spread > 0, (a * square + b) / (square * b), 0.0)

    def _at(self, t: jax.Array, like: jax.Array) -> tuple[jax.Array, jax.Array]:
        """alpha_bar and 1 - alpha_bar at t [B], with as many dimensions as `like`."""
        chex.assert_rank(t, 1, custom_message="t [B]")
        chex.assert_is_broadcastable(like.shape[:1], t.shape, custom_message="[B, ...] and t [B]")
        return _like(self.signal(t), like), _like(self.variance(t), like)


class Reverse(NamedTuple):
    """Steps of ancestral sampling: the next x is normal around `clean` x_0 + `noisy` x_t.

    Float64, [S]; x_0 is the estimate.
    """

    clean: np.ndarray
    noisy: np.ndarray
    variance: np.ndarray


def reverse(signal: np.ndarray, variance: str) -> Reverse:
    """The steps from each alpha_bar to the next one (Ho et al. 2020, eq. 7).

    The variance is the posterior's, `fixed_small`, or that of the forward process, `fixed_large`;
    there the last step, which leaves nothing to be noisy, has the posterior variance of the step
    before it, as in Nichol & Dhariwal 2021.

    Args:
        signal: [S + 1] alpha_bar, rising; the last may be 1.
        variance: one of VARIANCES.
    """
    now, after = signal[:-1], signal[1:]
    ratio = now / after
    posterior = (1 - after) / (1 - now) * (1 - ratio)
    spread = posterior
    if variance == "fixed_large":
        spread = np.append((1 - ratio)[:-1], posterior[-2:][0])
    return Reverse(
        np.sqrt(after) * (1 - ratio) / (1 - now), np.sqrt(ratio) * (1 - after) / (1 - now), spread
    )


def build(schedule: str, n_steps: int, prediction: str) -> Process:
    """The process of `config.diffusion`.

    Raises:
        UserError: for an unknown schedule or prediction, or fewer than 2 steps.
    """
    if schedule not in SCHEDULES:
        raise UserError(f"diffusion.schedule={schedule!r} is unknown; there are {SCHEDULES}")
    if prediction not in PREDICTIONS:
        raise UserError(f"diffusion.prediction={prediction!r} is unknown; there are {PREDICTIONS}")
    if n_steps < 2:
        raise UserError(f"diffusion.steps={n_steps} must be 2 or more")
    if schedule == "linear":
        beta = np.linspace(1e-4, 0.02, n_steps) * (1000 / n_steps)
    else:
        s = 0.008
        f = np.cos((np.arange(n_steps + 1) / n_steps + s) / (1 + s) * np.pi / 2) ** 2
        beta = 1 - f[1:] / f[:-1]
    return Process(np.cumprod(1 - np.clip(beta, 0, 0.999)), prediction)


def _like(x: jax.Array, reference: jax.Array) -> jax.Array:
    """x [B] -> [B, 1, ...], with the rank of the reference."""
    return x.reshape(x.shape + (1,) * (reference.ndim - x.ndim))
