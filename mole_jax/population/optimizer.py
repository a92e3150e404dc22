"""The optimizers of target networks, with hyperparameters that are arrays."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from mole_jax.population.hyperparameters import OPTIMIZERS, Hyperparameters

Params = dict[str, Any]

_DIRECTIONS = {
    "adam": optax.scale_by_adam(b1=0.9, b2=0.999),
    "sgd": optax.trace(decay=0.9, nesterov=True),
}


def init(names: tuple[str, ...], params: Params) -> dict[str, optax.OptState]:
    """State of every optimizer that the population may use."""
    return {name: _DIRECTIONS[name].init(params) for name in names}


def update(
    names: tuple[str, ...],
    grads: Params,
    state: dict[str, optax.OptState],
    params: Params,
    hyper: Hyperparameters,
    rate: jax.Array,
    *,
    coupled_decay: bool = False,
) -> tuple[Params, dict[str, optax.OptState]]:
    """One step: params - lr * rate * (direction + weight_decay * params).

    Weight decay is decoupled (Loshchilov & Hutter 2019) for both optimizers, unless it is coupled:
    then weight_decay * params is a part of the gradient, biases' included, as in PyTorch's SGD,
    and goes through the momentum. With several names
    every direction is computed and the member's own is selected, so that one compiled function
    serves a mixed population.

    Args:
        names: the optimizers in use.
        grads: gradient of the member's loss.
        state: as `init` gives it.
        params: the member's parameters.
        hyper: the member's hyperparameters.
        rate: schedule factor in [0, 1].
        coupled_decay: whether weight decay is a part of the gradient.
    """
    chex.assert_tree_shape((hyper, rate), (), custom_message="hyper and rate []: of one member")
    decay: jax.Array | float = hyper.weight_decay
    if coupled_decay:
        grads = jax.tree.map(lambda g, p: g + hyper.weight_decay * p, grads, params)
        decay = 0.0
    steps, new_state = {}, {}
    for name in names:
        steps[name], new_state[name] = _DIRECTIONS[name].update(grads, state[name], params)
    direction = steps[names[0]]
    for name in names[1:]:
        mine = hyper.optimizer == OPTIMIZERS.index(name)
        direction = jax.tree.map(
            lambda other, own, mine=mine: jnp.where(mine, own, other), direction, steps[name]
        )
    scale = -hyper.learning_rate * rate
    return jax.tree.map(lambda p, d: p + scale * (d + decay * p), params, direction), new_state
