"""Update rules for members of a population, with hyperparameters that are arrays.

A rule is an `Update`, an argument of population training. The optimizers of `population.optimizers`
are here; any other rule, such as a learned optimizer, is passed in their place.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from mole_jax.population.hyperparameters import OPTIMIZERS, Hyperparameters

Params = dict[str, Any]
State = Any  # a pytree of arrays: moments, or the carry of a learned rule

_DIRECTIONS = {
    "adam": optax.scale_by_adam(b1=0.9, b2=0.999),
    "sgd": optax.trace(decay=0.9, nesterov=True),
}


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["theta"], meta_fields=["init", "apply"]
)
@dataclasses.dataclass(frozen=True)
class Update:
    """How the parameters of one member change in a step; training vmaps it over members.

    It sees nested dicts of tensors, whose matrices may be transposed: see
    `Network.transposed_kernels`. A rule that depends on the step counts steps in its state.
    Programs are compiled for each `init` and `apply`, so keep both rather than make them again.
    """

    init: Callable[[Any, Params], State]  # (theta, params) -> state
    # (theta, hyper, state, gradients, params, rate) -> (params, state); hyper and rate are [], and
    # rate is the schedule's factor of the learning rate.
    apply: Callable[..., tuple[Params, State]]
    theta: Any = None  # arrays of a learned rule, which all members share


@functools.cache  # the same functions, and so the same compiled programs, for the same names
def of_names(names: tuple[str, ...], coupled_decay: bool = False) -> Update:
    """Return the update rule in which each member uses the optimizer that it has drawn.

    A step is params - lr * rate * (direction + weight_decay * params). Weight decay is decoupled
    (Loshchilov & Hutter 2019) for both optimizers, unless it is coupled: then weight_decay * params
    is a part of the gradient, biases' included, as in PyTorch's SGD, and goes through the momentum.
    With several names every direction is computed and the member's own is selected, so that one
    compiled function serves a mixed population.

    Args:
        names: the optimizers in use, of OPTIMIZERS.
        coupled_decay: whether weight decay is a part of the gradient.
    """

    def init(theta: None, params: Params) -> dict[str, optax.OptState]:
        return {name: _DIRECTIONS[name].init(params) for name in names}

    def apply(
        theta: None,
        hyper: Hyperparameters,
        state: dict[str, optax.OptState],
        gradients: Params,
        params: Params,
        rate: jax.Array,
    ) -> tuple[Params, dict[str, optax.OptState]]:
        chex.assert_tree_shape((hyper, rate), (), custom_message="hyper and rate []: of one member")
        decay: jax.Array | float = hyper.weight_decay
        if coupled_decay:
            gradients = jax.tree.map(lambda g, p: g + hyper.weight_decay * p, gradients, params)
            decay = 0.0
        steps, new_state = {}, {}
        for name in names:
            steps[name], new_state[name] = _DIRECTIONS[name].update(gradients, state[name], params)
        direction = steps[names[0]]
        for name in names[1:]:
            mine = hyper.optimizer == OPTIMIZERS.index(name)
            direction = jax.tree.map(
                lambda other, own, mine=mine: jnp.where(mine, own, other), direction, steps[name]
            )
        scale = -hyper.learning_rate * rate
        moved = jax.tree.map(lambda p, d: p + scale * (d + decay * p), params, direction)
        return moved, new_state

    return Update(init, apply)
