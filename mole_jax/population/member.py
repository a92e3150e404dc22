"""Train one member: a pure function of its keys, its task and its hyperparameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.population import hyperparameters, optimizer
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.tasks.classification import cross_entropy, loss_and_accuracy
from mole_jax.tasks.family import DeviceData, Examples
from mole_jax.tasks.networks import Network

SCHEDULES = ("constant", "cosine")
SPLITS = ("train", "validation", "test")
METRICS = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("loss", "accuracy"))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The static part of a training: the same for every member."""

    snapshot_steps: tuple[int, ...]  # increasing, the first is 0
    batch_size: int
    schedule: str  # one of SCHEDULES
    optimizers: tuple[str, ...]
    share_minibatches: bool
    pool: str = "train"  # where minibatches come from


class History(NamedTuple):
    """The snapshots of a member; [S] is replaced by [..., S] for many."""

    parameters: jax.Array  # [S, D]
    metrics: dict[str, jax.Array]  # each [S]


def check(config: Mapping[str, Any]) -> None:
    """Raises UserError for values of `config.population` that cannot be trained with."""
    for name, least in (("members", 1), ("steps", 1), ("snapshots", 2), ("batch_size", 1)):
        if config[name] < least:
            raise UserError(f"population.{name}={config[name]} must be {least} or more")
    if not 0 <= config["held_out_members"] < config["members"]:
        raise UserError(
            f"population.held_out_members={config['held_out_members']} must lie in "
            f"0..{config['members'] - 1}: of {config['members']} members one or more must stay"
        )
    if not 0 < config["snapshot_power"] < np.inf:
        raise UserError(f"population.snapshot_power={config['snapshot_power']} must be above 0")
    if config["shared_start"] and tuple(config["init_scale"]) != (1, 1):
        raise UserError(
            f"population.init_scale={tuple(config['init_scale'])} must be (1, 1) with "
            "population.shared_start: starts are then drawn anew in training, unscaled"
        )
    if config["schedule"] not in SCHEDULES:
        raise UserError(
            f"population.schedule={config['schedule']!r} is unknown; there are {SCHEDULES}"
        )
    hyperparameters.check(config)


def recipe(config: Mapping[str, Any]) -> Recipe:
    """The recipe of `config.population`.

    Snapshots lie at `steps * (i / (snapshots - 1)) ** snapshot_power`: a power above 1 puts more
    of them where the loss falls fast. Snapshots that fall on the same step become one.
    """
    fraction = np.linspace(0, 1, config["snapshots"]) ** config["snapshot_power"]
    steps = np.round(fraction * config["steps"]).astype(int)
    return Recipe(
        snapshot_steps=tuple(np.unique(steps).tolist()),
        batch_size=config["batch_size"],
        schedule=config["schedule"],
        optimizers=tuple(config["optimizers"]),
        share_minibatches=config["share_minibatches"],
    )


def initial(network: Network, key: jax.Array, init_scale: jax.Array) -> dict[str, Any]:
    """A freshly initialised network, its parameters multiplied by `init_scale`."""
    return jax.tree.map(lambda p: p * init_scale, network.init(key))


def train(
    network: Network,
    recipe: Recipe,
    data: DeviceData,
    classes: jax.Array,
    batch_key: jax.Array,
    params: dict[str, Any],
    hyper: Hyperparameters,
    pools: dict[str, Examples],
    fixed: Examples | None = None,
) -> History:
    """Train one network and keep its snapshots.

    vmapped over members with `classes`, `pools` and (for shared minibatches) `batch_key` held
    fixed, first-layer products merge into one product over all members.

    Args:
        network: what is trained.
        recipe: static choices.
        data: images on device.
        classes: [K] source classes of the data subset.
        batch_key: draws the minibatches; minibatch i depends on it and i alone.
        params: the start.
        hyper: this member's hyperparameters.
        pools: whole pools on which the metrics are measured.
        fixed: where given, minibatches are drawn from these examples and not from the pool.

    Returns:
        History with S = len(recipe.snapshot_steps).
    """
    steps = jnp.asarray(recipe.snapshot_steps)
    last = recipe.snapshot_steps[-1]

    def loss(params: dict[str, Any], batch: Examples) -> jax.Array:
        return jnp.mean(cross_entropy(network.apply(params, batch.inputs), batch.labels))

    def minibatch(i: jax.Array) -> Examples:
        key = rng.at(batch_key, "minibatch", i)
        if fixed is None:
            return data.draw(recipe.pool, classes, key, recipe.batch_size)
        weight = fixed.mask / jnp.sum(fixed.mask)
        rows = jax.random.choice(key, len(fixed.labels), (recipe.batch_size,), p=weight)
        return Examples(fixed.inputs[rows], fixed.labels[rows], fixed.mask[rows])

    def step(i: jax.Array, carry: Any) -> Any:
        params, state = carry
        rate = 0.5 * (1 + jnp.cos(jnp.pi * i / last)) if recipe.schedule == "cosine" else 1.0
        grads = jax.grad(loss)(params, minibatch(i))
        return optimizer.update(recipe.optimizers, grads, state, params, hyper, jnp.float32(rate))

    def snapshot(params: dict[str, Any]) -> History:
        return History(network.spec.flatten(params), evaluate(network, params, pools))

    def segment(carry: Any, bounds: tuple[jax.Array, jax.Array]) -> tuple[Any, History]:
        carry = jax.lax.fori_loop(*bounds, step, carry)
        return carry, snapshot(carry[0])

    carry = (params, optimizer.init(recipe.optimizers, params))
    # The first segment is empty: the start is a snapshot like any other.
    return jax.lax.scan(segment, carry, (jnp.roll(steps, 1).at[0].set(0), steps))[1]


def evaluate(
    network: Network, params: dict[str, Any], pools: dict[str, Examples]
) -> dict[str, jax.Array]:
    """Loss and accuracy on each whole pool: `{"test_loss": [...], ...}`."""
    out = {}
    for name, examples in pools.items():
        logits = network.apply(params, examples.inputs)
        out[f"{name}_loss"], out[f"{name}_accuracy"] = loss_and_accuracy(
            logits, examples.labels, examples.mask
        )
    return out
