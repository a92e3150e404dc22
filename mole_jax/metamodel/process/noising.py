"""The diffusion process in continuous time: noising, and what the network's output means.

A noise schedule and a read-out make one; any schedule goes with any read-out. Flow matching is
schedule `flow` with prediction `flow`.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.metamodel.process import readout
from mole_jax.metamodel.process.noise_schedule import SCHEDULES
from mole_jax.metamodel.process.readout import PREDICTIONS, Readout

# Times this close to one on the grid are that one: float32 cannot hold most of them exactly.
_NEAR = 1e-6

Step = TypeVar("Step", jax.Array, np.ndarray)


@dataclasses.dataclass(frozen=True, eq=False)
class Process:
    """x_t = alpha(t) x_0 + sigma(t) noise, for t from 0, almost data, to 1, almost noise.

    Alpha and sigma are given on a grid of T times, step / (T - 1). Training draws from these times,
    and samplers stop at them. Between them alpha and sigma are interpolated linearly.
    """

    alpha: np.ndarray  # [T] float64, falling, in (0, 1)
    sigma: np.ndarray  # [T] float64, rising, in (0, 1)
    prediction: str  # one of PREDICTIONS

    @property
    def n_steps(self) -> int:
        """T, the number of times on the grid."""
        return len(self.alpha)

    @property
    def straight(self) -> bool:
        """Whether alpha + sigma = 1, so that x_t lies on the line from x_0 to the noise."""
        return np.allclose(self.alpha + self.sigma, 1)

    def time(self, step: Step) -> Step:
        """Return the times of grid steps 0..T-1."""
        return step / (self.n_steps - 1)

    def step(self, t: jax.Array) -> jax.Array:
        """Return the steps of times t [...], whole numbers on the grid: float32."""
        chex.assert_type(t, float, custom_message="t in [0, 1]")  # steps would pass for times
        steps = t * (self.n_steps - 1)
        whole = jnp.round(steps)
        return jnp.where(jnp.abs(steps - whole) < _NEAR * (self.n_steps - 1), whole, steps)

    def coefficients(self, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return (alpha, sigma) at times t [...], exactly those of the schedule on the grid."""
        step = self.step(t)
        below = jnp.clip(step.astype(jnp.int32), 0, self.n_steps - 2)
        share = step - below

        def at(grid: np.ndarray) -> jax.Array:
            values = jnp.asarray(grid, jnp.float32)
            return (1 - share) * values[below] + share * values[below + 1]

        return at(self.alpha), at(self.sigma)

    def add_noise(self, clean: jax.Array, noise: jax.Array, t: jax.Array) -> jax.Array:
        """Clean and noise [B, ...], t [B] -> noisy [B, ...]."""
        chex.assert_equal_shape([clean, noise], custom_message="clean, noise [B, ...]")
        alpha, sigma = self._at(t, clean)
        return alpha * clean + sigma * noise

    def preconditioned_input(
        self, noisy: jax.Array, start: jax.Array, t: jax.Array, spread: jax.Array
    ) -> jax.Array:
        """Return what the network sees of the noisy target; arguments as in `clean_estimate`."""
        chex.assert_equal_shape([noisy, start], custom_message="noisy, start [B, ...]")
        chex.assert_is_broadcastable(spread.shape, noisy.shape, custom_message="spread [B, ...]")
        if self.prediction != "edm":
            return noisy
        alpha, sigma = self._at(t, noisy)
        return (noisy - alpha * start) / jnp.sqrt(readout.variance(alpha, sigma, spread))

    def clean_estimate(
        self,
        output: jax.Array,
        noisy: jax.Array,
        start: jax.Array,
        t: jax.Array,
        spread: jax.Array,
    ) -> jax.Array:
        """Return the estimate of x_0 that a network's output stands for: see `readout`.

        Args:
            output: [B, ...] output of the network.
            noisy: [B, ...].
            start: [B, ...] what the output is relative to, zero where there is nothing.
            t: [B].
            spread: standard deviation of x_0 - start, of a shape that broadcasts to [B, ...].
        """
        same = [output, noisy, start]
        chex.assert_equal_shape(same, custom_message="output, noisy, start [B, ...]")
        chex.assert_is_broadcastable(spread.shape, noisy.shape, custom_message="spread [B, ...]")
        alpha, _ = self._at(t, noisy)
        gain, scale = self._readout(t, spread)
        return start + gain * (noisy - alpha * start) + scale * output

    def loss_weight(self, t: jax.Array, spread: jax.Array) -> jax.Array:
        """Return the weight that turns the squared error of x_0 into that of the output.

        It broadcasts to [B, ...]. Where the spread is zero, `edm` has nothing to learn and the
        weight is zero.
        """
        square = self._readout(t, spread).scale ** 2
        return jnp.where(square > 0, 1 / jnp.where(square > 0, square, 1.0), 0.0)

    def _readout(self, t: jax.Array, spread: jax.Array) -> Readout:
        return PREDICTIONS[self.prediction](*self._at(t, spread), spread)

    def _at(self, t: jax.Array, like: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the coefficients at t [B], with as many dimensions as `like` [B, ...]."""
        chex.assert_rank(t, 1, custom_message="t [B]")
        chex.assert_is_broadcastable(like.shape[:1], t.shape, custom_message="[B, ...] and t [B]")
        alpha, sigma = self.coefficients(t)
        shape = (-1,) + (1,) * (like.ndim - 1)
        return alpha.reshape(shape), sigma.reshape(shape)


def build(schedule: str, n_steps: int, prediction: str) -> Process:
    """Return the process of `config.diffusion`.

    Raises:
        UserError: for an unknown schedule or prediction, or fewer than 2 steps.
    """
    for name, value, known in (
        ("schedule", schedule, SCHEDULES),
        ("prediction", prediction, PREDICTIONS),
    ):
        if value not in known:
            raise UserError(f"diffusion.{name}={value!r} is unknown; there are {', '.join(known)}")
    if n_steps < 2:
        raise UserError(f"diffusion.steps={n_steps} must be 2 or more")
    return Process(*SCHEDULES[schedule](n_steps), prediction)
