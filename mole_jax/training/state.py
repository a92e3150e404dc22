"""The state of a training: all that a resumed one needs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from mole_jax.core import rng
from mole_jax.metamodel.networks import sharding
from mole_jax.training.adamw import optimizer
from mole_jax.training.learner import Learner
from mole_jax.training.train_config import TrainConfig


class State(NamedTuple):
    """All that a resumed training needs."""

    step: jax.Array  # [] int32
    params: Any  # the learner's theta
    ema: Any  # its moving average
    optimizer: Any


def init(learner: Learner, hyper: TrainConfig, key: jax.Array) -> State:
    """Return the state before step 0, a function of the key alone (call it under jit)."""
    params = learner.init(key)
    return State(
        jnp.zeros((), jnp.int32),
        params,
        jax.tree.map(jnp.copy, params),
        optimizer(hyper).init(params),
    )


def shapes(learner: Learner, hyper: TrainConfig, mesh: Mesh) -> State:
    """Return shape, dtype and sharding of every array of the state: jax.ShapeDtypeStructs."""
    found = jax.eval_shape(lambda key: init(learner, hyper, key), jax.random.key(0))
    return sharding.placed(found, mesh)


def fresh(learner: Learner, hyper: TrainConfig, root: jax.Array, like: State) -> State:
    """Return the state before step 0, sharded as `like`: see `shapes`.

    Each device makes its own part, so the whole need not fit on any.
    """
    make = jax.jit(
        lambda key: init(learner, hyper, key),
        out_shardings=jax.tree.map(lambda x: x.sharding, like),
    )
    return make(rng.named(root, "init"))
