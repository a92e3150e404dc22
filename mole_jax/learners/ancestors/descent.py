"""Gradient steps on a support set, which is how several ancestors adapt."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.learners import query_loss
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, fewer_outputs


def descend(
    network: Network,
    start: jax.Array,
    support: Examples,
    rate: jax.Array | float,
    steps: int,
    *,
    second_order: bool = False,
) -> jax.Array:
    """Take steps along the gradient of the loss on a support set: start [D] -> [D].

    Args:
        network: whose parameters they are.
        start: [D].
        support: [n] examples.
        rate: of the steps; one number, or [D].
        steps: how many.
        second_order: whether gradients through this are those of the gradients, too.
    """
    start = fewer_outputs.emptied(network, start, support.n_classes)

    def step(flat: jax.Array, _: None) -> tuple[jax.Array, None]:
        slope = jax.grad(lambda x: query_loss.of_one(network, x, support)[0])(flat)
        slope = slope if second_order else jax.lax.stop_gradient(slope)
        return flat - rate * slope, None

    return jax.lax.scan(step, start, length=steps)[0]


def for_each(of_one: Any, support: Examples, batch: int) -> jax.Array:
    """Apply a function of a support set to B of them, or once to one for all: [B, ...]."""
    found = jax.vmap(of_one)(support)
    return jnp.broadcast_to(found, (batch, *found.shape[1:]))


def setting(learner: Any) -> dict[str, Any]:
    """Return how a learner with `steps` and `scale` is asked, for the record."""
    return {"steps": learner.steps, "rate": float(learner.scale)}


def choices(learner: Any) -> tuple[Any, ...]:
    """Return it with all numbers of steps and all rates that its config says are tried."""
    tries = itertools.product(learner.config.try_steps, learner.config.try_rates)
    return tuple(dataclasses.replace(learner, steps=n, scale=np.float32(x)) for n, x in tries)
