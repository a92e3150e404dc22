"""Loss, score and probabilities of many networks, each on its own task."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.tasks.classification import loss_and_accuracy, masked
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.family import DeviceData, TaskFamily
from mole_jax.tasks.images import ImageTasks
from mole_jax.tasks.networks import Network

# Networks per call: any number of networks shares one compiled function.
AT_ONCE = 256
# Examples gathered at once stay below this many bytes.
_MEMORY = 64 * 2**20


def on_pool(
    network: Network, data: DeviceData, pool: str, flat: np.ndarray, tasks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return loss and score (accuracy, say) on a whole pool.

    Args:
        network: the architecture.
        data: the tasks on device.
        pool: "validation", "test", ...
        flat: [..., D] parameters.
        tasks: [...] position of each network's task; dimensions of 1 are broadcast.

    Returns:
        Two arrays [...].
    """
    tasks = np.broadcast_to(tasks, flat.shape[:-1])
    loss, score = _in_chunks(functools.partial(_on_pool, network, pool, data), flat, tasks)
    return loss, score


def on_own_tasks(
    family: TaskFamily, pool: str, flat: np.ndarray, tasks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return loss and score [T, ...] of networks [T, ..., D] on a pool of their tasks [T]."""
    tasks = tasks.reshape(-1, *[1] * (flat.ndim - 2))
    return on_pool(family.network, family.device_data, pool, flat, tasks)


def on_examples(
    network: Network, flat: np.ndarray, examples: Examples
) -> tuple[np.ndarray, np.ndarray]:
    """Measure loss (nats) and accuracy of networks [..., D], each on its own examples [..., n]."""
    loss, accuracy = _in_chunks(functools.partial(_on_examples, network), flat, examples)
    return loss, accuracy


def on_inputs(network: Network, flat: np.ndarray, examples: Examples) -> np.ndarray:
    """Return class probabilities [..., n, K] of networks [..., D], each on its own examples."""
    return _in_chunks(functools.partial(_on_inputs, network), flat, examples)[0]


def probabilities(
    network: Network, data: ImageTasks, pool: str, flat: np.ndarray, tasks: np.ndarray
) -> np.ndarray:
    """Return class probabilities on a whole pool: arguments as in `on_pool` -> [..., n, K].

    Classes that a task lacks get none. A network that diverged, and puts out NaN or infinity,
    counts as guessing: all its classes are equally likely.
    """
    tasks = np.broadcast_to(tasks, flat.shape[:-1])
    return _in_chunks(functools.partial(_probabilities, network, pool, data), flat, tasks)[0]


def answers(data: ImageTasks, pool: str, task: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and mask of a task's pool, in the order of `probabilities`: two arrays [n]."""
    examples = data.pool(pool, jnp.int32(task))
    return np.asarray(examples.labels), np.asarray(examples.mask)


def _in_chunks(call: Callable[..., Any], flat: np.ndarray, *others: Any) -> list[np.ndarray]:
    """Apply `call` to AT_ONCE networks at a time; the last chunk is filled by repeating."""
    lead = flat.shape[:-1]
    chex.assert_tree_shape_prefix(
        others, lead, custom_message="one row of each argument for each network of flat [..., D]"
    )
    arrays = jax.tree.map(
        lambda x: np.asarray(x).reshape(-1, *x.shape[len(lead) :]), (flat, *others)
    )
    n, chunks = math.prod(lead), []
    for first in range(0, n, AT_ONCE):
        rows = np.minimum(np.arange(first, first + AT_ONCE), n - 1)
        given = jax.tree.map(lambda x, rows=rows: x[rows], arrays)
        chunks.append(jax.tree.map(np.asarray, call(*given)))
    stacked = [np.concatenate(parts)[:n] for parts in zip(*chunks, strict=True)]
    return [x.reshape(*lead, *x.shape[1:]) for x in stacked]


def _mapped(of_one: Callable[..., Any], arguments: tuple[Any, ...], numbers: int) -> Any:
    """vmap in blocks; `numbers` float32 are gathered for each network."""
    block = max(1, min(AT_ONCE, _MEMORY // (4 * numbers)))
    return jax.lax.map(lambda xs: of_one(*xs), arguments, batch_size=block)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _on_pool(
    network: Network, pool: str, data: DeviceData, flat: jax.Array, tasks: jax.Array
) -> tuple[jax.Array, jax.Array]:
    def of_one(flat: jax.Array, task: jax.Array) -> tuple[jax.Array, jax.Array]:
        return data.measure(network, network.spec.unflatten(flat), pool, task)

    return _mapped(of_one, (flat, tasks), data.floats_per_eval(pool))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _probabilities(
    network: Network, pool: str, data: ImageTasks, flat: jax.Array, tasks: jax.Array
) -> tuple[jax.Array]:
    def of_one(flat: jax.Array, task: jax.Array) -> jax.Array:
        logits = network.apply(network.spec.unflatten(flat), data.pool(pool, task).inputs)
        logits = jnp.where(jnp.isfinite(logits).all(), logits, 0.0)
        return jax.nn.softmax(masked(logits, data.classes_of(task)))

    return (_mapped(of_one, (flat, tasks), data.floats_per_eval(pool)),)


@functools.partial(jax.jit, static_argnums=0)
def _on_inputs(network: Network, flat: jax.Array, examples: Examples) -> tuple[jax.Array]:
    def of_one(flat: jax.Array, examples: Examples) -> jax.Array:
        logits = network.apply(network.spec.unflatten(flat), examples.inputs)
        logits = jnp.where(jnp.isfinite(logits).all(), logits, 0.0)
        return jax.nn.softmax(masked(logits, examples.n_classes))

    return (_mapped(of_one, (flat, examples), examples.inputs[0].size),)


@functools.partial(jax.jit, static_argnums=0)
def _on_examples(
    network: Network, flat: jax.Array, examples: Examples
) -> tuple[jax.Array, jax.Array]:
    def of_one(flat: jax.Array, examples: Examples) -> tuple[jax.Array, jax.Array]:
        logits = network.apply(network.spec.unflatten(flat), examples.inputs)
        return loss_and_accuracy(logits, *examples[1:])

    return _mapped(of_one, (flat, examples), examples.inputs[0].size)
