"""Train one member: a pure function of its keys, its task and its hyperparameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from mole_jax.core import rng
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.optimizer import Update
from mole_jax.tasks import examples
from mole_jax.tasks.classification import cross_entropy
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.images import ImageTasks
from mole_jax.tasks.networks import Network

SCHEDULES = ("constant", "cosine")
POOLS = ("train", "validation", "test")  # that snapshots are measured on


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The static part of a training: the same for every member."""

    snapshot_steps: tuple[int, ...]  # increasing, the first is 0
    batch_size: int
    schedule: str  # one of SCHEDULES
    optimizers: tuple[str, ...]
    share_minibatches: bool
    pool: str = "train"  # where minibatches come from
    coupled_decay: bool = False  # weight decay is a part of the gradient
    epoch_steps: int = 0  # above 0: a schedule changes the rate only after this many steps
    measured: tuple[str, ...] = POOLS  # the pools that snapshots are measured on


class History(NamedTuple):
    """The snapshots of a member; [S] is replaced by [..., S] for many."""

    parameters: jax.Array  # [S, D]
    metrics: dict[str, jax.Array]  # each [S]


def initial(network: Network, key: jax.Array, init_scale: jax.Array) -> dict[str, Any]:
    """Initialise a network, its parameters multiplied by `init_scale`."""
    chex.assert_rank(init_scale, 0, custom_message="init_scale []: vmap over members")
    return jax.tree.map(lambda p: p * init_scale, network.init(key))


def train(
    network: Network,
    recipe: Recipe,
    update: Update,
    data: ImageTasks,
    task: jax.Array,
    batch_key: jax.Array,
    params: dict[str, Any],
    hyper: Hyperparameters,
    dataset: Examples | None = None,
) -> History:
    """Train one network and keep its snapshots.

    vmapped over members with `task` and (for shared minibatches) `batch_key` held fixed,
    first-layer products merge into one product over all members.

    Args:
        network: what is trained.
        recipe: static choices.
        update: the rule by which parameters change, such as `optimizer.of_names(...)`.
        data: the tasks on device.
        task: [] position in the task table.
        batch_key: draws the minibatches; minibatch i depends on it and i alone.
        params: the start.
        hyper: this member's hyperparameters.
        dataset: where given, minibatches are drawn from these examples and not from the pool.

    Returns:
        History with S = len(recipe.snapshot_steps).
    """
    steps = jnp.asarray(recipe.snapshot_steps)
    looked_at = (*recipe.measured, *([recipe.pool] if dataset is None else []))
    if looked_at:
        data, task = data.transformed_once(task, tuple(dict.fromkeys(looked_at)))
    step = make_step(network, recipe, update, data, task, batch_key, hyper, dataset)

    def snapshot(params: dict[str, Any]) -> History:
        params = transposed_kernels(network, params)
        found = evaluate(network, params, data, task, recipe.measured)
        return History(network.spec.flatten(params), found)

    def segment(carry: Any, bounds: tuple[jax.Array, jax.Array]) -> tuple[Any, History]:
        carry = jax.lax.fori_loop(*bounds, step, carry)
        return carry, snapshot(carry[0])

    params = transposed_kernels(network, params)
    carry = (params, update.init(update.theta, params))
    # The first segment is empty: the start is a snapshot like any other.
    return jax.lax.scan(segment, carry, (jnp.roll(steps, 1).at[0].set(0), steps))[1]


def make_step(
    network: Network,
    recipe: Recipe,
    update: Update,
    data: ImageTasks,
    task: jax.Array,
    batch_key: jax.Array,
    hyper: Hyperparameters,
    dataset: Examples | None = None,
) -> Callable[[jax.Array | int, tuple[Any, Any]], tuple[Any, Any]]:
    """Return a step of training: (i, (params, state)) -> (params, state).

    It can be differentiated, with respect to `update.theta`, too. Parameters are as
    `transposed_kernels` returns them; the arguments are those of `train`.
    """
    if dataset is not None:
        examples.check(dataset, size=network.n_inputs)
    microbatch = network.microbatch if jax.default_backend() == "cpu" else 0
    n_classes = data.classes_of(task)

    def loss(params: dict[str, Any], batch: Examples) -> jax.Array:
        logits = network.apply(transposed_kernels(network, params), batch.inputs)
        return jnp.mean(cross_entropy(logits, batch.labels, n_classes))

    def minibatch(i: jax.Array | int) -> Examples:
        """Draw a batch whose arrays all have the examples first: [batch, ...]."""
        key = rng.at(batch_key, "minibatch", i)
        if dataset is None:
            drawn = data.draw(recipe.pool, task, key, recipe.batch_size)
            return drawn._replace(n_classes=None)
        weight = dataset.mask / jnp.sum(dataset.mask)
        rows = jax.random.choice(key, len(dataset.labels), (recipe.batch_size,), p=weight)
        return jax.tree.map(lambda x: x[rows], dataset._replace(n_classes=None))

    def step(i: jax.Array | int, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        params, state = carry
        rate = scheduled(recipe, i)
        grads = gradient(loss, params, minibatch(i), microbatch)
        return update.apply(update.theta, hyper, state, grads, params, rate)

    return step


def scheduled(recipe: Recipe, i: jax.Array | int) -> jax.Array:
    """Return the learning rate's factor at step i: []; cosine falls from 1 to 0 at the last step.

    Source of cosine: Loshchilov & Hutter 2017, without restarts.
    """
    if recipe.schedule == "constant":
        return jnp.float32(1.0)
    at = i - i % recipe.epoch_steps if recipe.epoch_steps else i
    return jnp.float32(0.5 * (1 + jnp.cos(jnp.pi * at / recipe.snapshot_steps[-1])))


def gradient(
    loss: Callable[[Any, Examples], jax.Array], params: Any, batch: Examples, microbatch: int
) -> Any:
    """Return the gradient of a mean over a batch, `microbatch` examples at a time; 0: all."""
    size = len(batch.labels)
    size_of_part = next(n for n in range(min(microbatch or size, size), 0, -1) if size % n == 0)
    n = size // size_of_part
    if n == 1:
        return jax.grad(loss)(params, batch)
    parts = jax.tree.map(lambda x: x.reshape(n, size_of_part, *x.shape[1:]), batch)

    def add(total: Any, part: Examples) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, jax.grad(loss)(params, part)), None

    total, _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), parts)
    return jax.tree.map(lambda g: g / n, total)


def transposed_kernels(network: Network, params: dict[str, Any]) -> dict[str, Any]:
    """Transpose all matrices, if training keeps them transposed; its own inverse."""
    if not network.transposed_kernels:
        return params
    return jax.tree.map(lambda p: p.T if p.ndim == 2 else p, params)


def evaluate(
    network: Network,
    params: dict[str, Any],
    data: ImageTasks,
    task: jax.Array,
    names: tuple[str, ...] = POOLS,
) -> dict[str, jax.Array]:
    """Measure loss and accuracy on whole pools: `{"test_loss": [], "test_accuracy": [], ...}`."""
    out = {}
    for pool in names:
        out[f"{pool}_loss"], out[f"{pool}_accuracy"] = data.measure(network, params, pool, task)
    return out


def metrics(score: str) -> tuple[str, ...]:
    """Return the names of a snapshot's metrics; `score` is what a family reports with the loss."""
    return tuple(f"{pool}_{kind}" for pool in POOLS for kind in ("loss", score))
