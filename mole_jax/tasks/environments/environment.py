"""A family of control problems as pure functions, whose parameters distinguish its problems."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Environment:
    """A family of control problems; its functions are pure and vmap."""

    name: str
    n_observations: int  # O
    n_actions: int  # A; each in [-1, 1], what lies outside is clipped
    horizon: int  # steps after which an episode is cut off
    time_step: float  # seconds
    parameter_names: tuple[str, ...]  # P of them
    default: tuple[float, ...]  # the classic problem
    # The range of each parameter of a problem, or of its magnitude where the sign is drawn.
    parameter_low: tuple[float, ...]
    parameter_high: tuple[float, ...]
    parameter_signed: tuple[bool, ...]  # whether the sign is drawn, too
    reset: Callable[[jax.Array, jax.Array], Any]  # (parameters [P], key) -> state
    # (parameters [P], state, action [A]) -> (state, reward, terminated)
    step: Callable[[jax.Array, Any, jax.Array], tuple[Any, jax.Array, jax.Array]]
    observe: Callable[[Any], jax.Array]  # (state) -> [O]
    # (parameters [P], key) -> state, from the whole region in which episodes live
    random_state: Callable[[jax.Array, jax.Array], Any]

    def __post_init__(self) -> None:
        for name, low, high in zip(
            self.parameter_names, self.parameter_low, self.parameter_high, strict=True
        ):
            if not -np.inf < low <= high < np.inf:
                raise UserError(
                    f"the range of {self.name}'s {name} is ({low}, {high}); it must be (low, high) "
                    "with low <= high"
                )

    @property
    def n_parameters(self) -> int:
        """P."""
        return len(self.parameter_names)

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw the parameters [P] of one problem of the family: each uniform in its range.

        Where `parameter_signed` says so, the sign is drawn as well.
        """
        key, sign_key = jax.random.split(key)
        shape = (self.n_parameters,)
        low, high = jnp.float32(self.parameter_low), jnp.float32(self.parameter_high)
        drawn = jax.random.uniform(key, shape, minval=low, maxval=high)
        negative = jax.random.bernoulli(sign_key, shape=shape) & jnp.array(self.parameter_signed)
        return jnp.where(negative, -drawn, drawn)
