"""What may differ between the members of a population, and how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError

OPTIMIZERS = ("adam", "sgd")


class Hyperparameters(NamedTuple):
    """One value for each member; leaves are [] for a member, [...] for many."""

    learning_rate: jax.Array
    weight_decay: jax.Array
    init_scale: jax.Array
    optimizer: jax.Array  # int32 index into OPTIMIZERS


def check(config: Mapping[str, Any]) -> None:
    """Raise UserError for ranges that cannot be drawn from."""
    for name in ("learning_rate", "weight_decay", "init_scale"):
        bounds = tuple(config[name])
        sign = "<=" if name == "weight_decay" else "<"
        positive = len(bounds) == 2 and (bounds[0] > 0 or (bounds[0] == 0 and sign == "<="))
        if not (positive and bounds[0] <= bounds[1] < np.inf):
            raise UserError(
                f"population.{name}={bounds} must be (low, high) with 0 {sign} low <= high"
            )
    unknown = set(config["optimizers"]) - set(OPTIMIZERS)
    if unknown or not config["optimizers"]:
        raise UserError(f"population.optimizers={config['optimizers']} must be among {OPTIMIZERS}")


def draw(config: Mapping[str, Any], key: jax.Array) -> Hyperparameters:
    """Return one member's hyperparameters: learning rate and init scale log-uniform, decay uniform.

    Each range is (low, high); low == high fixes the value.
    """
    keys = jax.random.split(key, 4)
    choices = np.array([OPTIMIZERS.index(name) for name in config["optimizers"]], np.int32)
    return Hyperparameters(
        learning_rate=_log_uniform(keys[0], *config["learning_rate"]),
        weight_decay=_uniform(keys[1], *config["weight_decay"]),
        init_scale=_log_uniform(keys[2], *config["init_scale"]),
        optimizer=jnp.asarray(choices)[jax.random.randint(keys[3], (), 0, len(choices))],
    )


def _uniform(key: jax.Array, low: float, high: float) -> jax.Array:
    if low == high:
        return jnp.float32(low)
    return jax.random.uniform(key, minval=low, maxval=high)


def _log_uniform(key: jax.Array, low: float, high: float) -> jax.Array:
    # exp(log(low)) need not be low, and a range that is one value must give that value.
    return jnp.clip(jnp.exp(_uniform(key, np.log(low), np.log(high))), low, high)
