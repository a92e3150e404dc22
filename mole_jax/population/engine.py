"""Train many members: vmapped in blocks, one block after another, a share on every device.

A CPU is one device of several cores. It trains in one thread for each core: programs side by side
use the cores better than the operations of one program, which wait for one another.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from mole_jax.core import rng
from mole_jax.core.devices import distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.population import member, optimizer, ppo
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import History, Recipe
from mole_jax.population.optimizer import Update
from mole_jax.population.ppo import PPORecipe
from mole_jax.tasks import examples
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.family import DeviceData
from mole_jax.tasks.networks import Network


class Work(NamedTuple):
    """What is trained: leaves [G, ...], and [G, M, ...] where each member has its own.

    A data subset's part has leaves without G, and a member's part without G and M.
    """

    task: jax.Array  # [G] position in the task table
    batch_key: jax.Array  # [G], or [G, M] where members have minibatches of their own
    start: jax.Array  # [G, M, D]
    hyper: Hyperparameters  # [G, M]
    dataset: Examples | None  # [G, n, ...]


class Shared(NamedTuple):
    """What all members share, on every device."""

    data: Any  # a DeviceData
    update: Update


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _train(
    network: Network,
    recipe: Recipe | PPORecipe,
    at_once: int,
    mesh: Mesh,
    shared: Shared,
    work: Work,
) -> History:
    of_member = functools.partial(_member, network, recipe)
    own = _own(recipe)
    subsets_at_once = max(at_once // work.start.shape[1], 1)

    def of_subsets(shared: Shared, work: Work) -> History:
        def of_subset(subset: Work) -> History:
            def one(*values: Any) -> History:
                return of_member(shared, subset._replace(**dict(zip(own, values, strict=True))))

            return _in_blocks(one, at_once, *(getattr(subset, name) for name in own))

        return _in_blocks(of_subset, subsets_at_once, work)

    # Each device loops over its own subsets; under jit alone it would loop over everybody's.
    rows = PartitionSpec(mesh.axis_names)
    return jax.shard_map(
        of_subsets, mesh=mesh, in_specs=(PartitionSpec(), rows), out_specs=rows, check_vma=False
    )(shared, work)


def _member(network: Network, recipe: Recipe | PPORecipe, shared: Shared, member_: Work) -> History:
    params = network.spec.unflatten(member_.start)
    data, update = shared
    task, key, _, hyper, dataset = member_
    if isinstance(recipe, PPORecipe):
        problem = data.environment, data.parameters[task]
        return ppo.train(network, recipe, update, *problem, key, params, hyper, data.key)
    return member.train(network, recipe, update, data, task, key, params, hyper, dataset)


def _in_blocks(function: Callable[..., Any], size: int, *arrays: Any) -> Any:
    """vmap `function` over the first axis, at most `size` at once, block after block.

    The blocks are as equal as possible; the last is padded with copies whose results are dropped.
    Blocks of one are not vmapped: that would make all products batches of one.
    """
    n = len(jax.tree.leaves(arrays)[0])
    if min(size, n) == 1:
        return jax.lax.map(lambda xs: function(*xs), arrays)
    blocks = -(-n // size)
    if blocks == 1:
        return jax.vmap(function)(*arrays)
    size = -(-n // blocks)
    rows = jnp.minimum(jnp.arange(blocks * size), n - 1).reshape(blocks, size)
    out = jax.lax.map(lambda xs: jax.vmap(function)(*xs), jax.tree.map(lambda x: x[rows], arrays))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], out)


def train(
    network: Network,
    recipe: Recipe | PPORecipe,
    data: DeviceData,
    tasks: jax.Array,
    batch_keys: jax.Array,
    starts: jax.Array,
    hyper: Hyperparameters,
    *,
    mesh: Mesh,
    dataset: Examples | None = None,
    update: Update | None = None,
    at_once: int = 0,
    first_member: int = 0,
) -> History:
    """Train G data subsets x M members from given starts.

    The subset axis is sharded over all devices of the mesh; members of one subset stay together,
    because they can share minibatches. If there are several devices for each subset, they divide
    its members. There are no collectives.

    Args:
        network: what is trained.
        recipe: static choices.
        data: the tasks on device.
        tasks: [G] positions in the task table.
        batch_keys: [G] keys, one for each subset; members with minibatches of their own derive one
            each.
        starts: [G, M, D] initial parameters.
        hyper: leaves [G, M].
        mesh: the devices.
        dataset: leaves [G, n, ...]: train on these examples only (data-matched baselines).
        update: the update rule; without it, the optimizers of the recipe.
        at_once: how many members train side by side in a thread, the others after them; 0: all. It
            changes speed and memory, and results by no more than rounding (see `autotune.py`).
        first_member: the number of the first of the M members; minibatches of their own depend on
            it.

    Returns:
        History with leaves [G, M, S, ...].
    """
    dims = chex.Dimensions(D=network.spec.size)
    dims["GM_"] = starts.shape
    chex.assert_shape(
        [starts, tasks, batch_keys],
        [dims["GMD"], dims["G"], dims["G"]],
        custom_message="starts [G, M, D], tasks [G], batch_keys [G]",
    )
    chex.assert_tree_shape(hyper, dims["GM"], custom_message="hyper [G, M]")
    if dataset is not None:
        examples.check(dataset, dims["G"], network.n_inputs)
    n_groups, n_members = dims["GM"]
    if not _shares(recipe):
        fold = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))
        batch_keys = fold(batch_keys, first_member + jnp.arange(n_members))
    work = Work(tasks, batch_keys, starts, hyper, dataset)
    update = update or optimizer.of_names(recipe.optimizers, recipe.coupled_decay)
    shared = distributed.put(Shared(data, update), mesh_lib.replicated(mesh))
    n = min(cpu_threads(mesh), max(n_groups, n_members))
    if n > 1:
        return _in_threads(network, recipe, at_once, mesh, shared, work, n)
    parts = max(min(mesh.size // n_groups, n_members), 1) if dataset is None else 1
    if parts > 1:
        work = _divided(work, parts)
    # Padding repeats the last subset, so that every device has the same number of them.
    work = _filled_up(work, mesh.size)
    padded = len(work.task)
    work = distributed.put(work, mesh_lib.along(mesh, mesh.axis_names))
    at_once = at_once or padded // mesh.size * work.start.shape[1]
    history = _train(network, recipe, at_once, mesh, shared, work)
    if mesh.devices.flat[0].platform == "cpu":
        # More work at the same time on the same cores gains nothing, and tests with it have crashed
        # within XLA, rarely.
        history = jax.block_until_ready(history)
    if (padded, parts) == (n_groups, 1):
        return history
    return _collected(history, n_groups, n_members, parts)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _collected(history: History, n_groups: int, n_members: int, parts: int) -> History:
    """Undo `_divided` and `_filled_up`: leaves [G, M, S, ...].

    One program for all leaves: here devices exchange data, and several such programs at the same
    time may deadlock on a CPU.
    """

    def collected(x: jax.Array) -> jax.Array:
        x = x[: n_groups * parts]
        return x.reshape(n_groups, -1, *x.shape[2:])[:, :n_members]

    return jax.tree.map(collected, history)


def cpu_threads(mesh: Mesh) -> int:
    """Return how many parts of a population train at the same time on each device of a mesh."""
    if mesh.size > 1 or mesh.devices.flat[0].platform != "cpu":
        return 1
    known = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return max(cores // jax.local_device_count(), 1)


def _in_threads(
    network: Network,
    recipe: Recipe | PPORecipe,
    at_once: int,
    mesh: Mesh,
    shared: Shared,
    work: Work,
    n: int,
) -> History:
    """Train in `n` threads: each takes equally many subsets or, of few subsets, members.

    Arguments are those of `_train`.
    """
    n_groups, n_members = work.start.shape[:2]
    by_subset = n_groups >= n
    if by_subset:
        parts = [_rows(_filled_up(work, n), i, n) for i in range(n)]
    else:
        names = _own(recipe)
        own = {name: getattr(work, name) for name in names}
        own = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), own)
        parts = []
        for i in range(n):
            part = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), _rows(_filled_up(own, n), i, n))
            parts.append(work._replace(**part))
    parts = distributed.put(parts, mesh_lib.replicated(mesh))
    at_once = at_once or math.prod(parts[0].start.shape[:2])
    # Compiled once, here: threads that ask for the same program at the same time would each do it.
    leaves, structure = jax.tree.flatten((shared, parts[0]))
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding) for x in leaves)
    program = _compiled(network, recipe, at_once, mesh, structure, shapes)
    with ThreadPoolExecutor(n, thread_name_prefix="train") as pool:
        futures = [
            pool.submit(lambda part: jax.block_until_ready(program(shared, part)), part)
            for part in parts
        ]
        histories = [future.result() for future in futures]
    axis, whole = (0, n_groups) if by_subset else (1, n_members)
    return jax.tree.map(
        lambda *x: jax.lax.slice_in_dim(jnp.concatenate(x, axis), 0, whole, axis=axis), *histories
    )


@functools.lru_cache(maxsize=16)
def _compiled(
    network: Network,
    recipe: Recipe | PPORecipe,
    at_once: int,
    mesh: Mesh,
    structure: Any,
    shapes: tuple[jax.ShapeDtypeStruct, ...],
) -> jax.stages.Compiled:
    """Compile `_train` for a structure and shapes of its arguments from `shared` on."""
    arguments = jax.tree.unflatten(structure, shapes)
    return _train.lower(network, recipe, at_once, mesh, *arguments).compile()


@functools.partial(jax.jit, static_argnums=1)
def _divided(work: Work, parts: int) -> Work:
    """Divide each data subset's members among `parts` subsets: [G, M] -> [G * parts, m].

    The last part is filled up by repeating the last member.
    """
    n_groups, n_members = work.start.shape[:2]
    size = -(-n_members // parts)

    def divided(x: jax.Array) -> jax.Array:
        x = x[:, jnp.minimum(jnp.arange(parts * size), n_members - 1)]
        return x.reshape(n_groups * parts, size, *x.shape[2:])

    def repeated(x: jax.Array) -> jax.Array:
        return x[jnp.repeat(jnp.arange(n_groups), parts)]

    own = work.batch_key.ndim == 2  # a key for each member
    return Work(
        task=repeated(work.task),
        batch_key=divided(work.batch_key) if own else repeated(work.batch_key),
        start=divided(work.start),
        hyper=jax.tree.map(divided, work.hyper),
        dataset=work.dataset,
    )


def _filled_up(batch: Any, multiple: int) -> Any:
    """Repeat the last row of every leaf until `multiple` divides the number of rows."""
    n = len(jax.tree.leaves(batch)[0])
    wanted = mesh_lib.pad_to_multiple(n, multiple)
    return batch if wanted == n else _longer(batch, wanted)


# One program, and not one for each operation on each leaf.
@functools.partial(jax.jit, static_argnums=1)
def _longer(batch: Any, wanted: int) -> Any:
    def longer(x: jax.Array) -> jax.Array:
        return x[jnp.minimum(jnp.arange(wanted), len(x) - 1)]

    return jax.tree.map(longer, batch)


def _rows(batch: Any, i: int, n: int) -> Any:
    """Return the i-th of `n` equal parts of the rows of every leaf."""
    size = len(jax.tree.leaves(batch)[0]) // n
    return jax.tree.map(lambda x: x[i * size : (i + 1) * size], batch)


def _own(recipe: Recipe | PPORecipe) -> tuple[str, ...]:
    """Return the fields of Work in which the members of a subset differ."""
    return ("start", "hyper") if _shares(recipe) else ("batch_key", "start", "hyper")


def _shares(recipe: Recipe | PPORecipe) -> bool:
    """Return whether a task's members see the same minibatches; policies see what they meet."""
    return isinstance(recipe, Recipe) and recipe.share_minibatches


@functools.partial(jax.jit, static_argnums=0)
def initial(
    network: Network, key: jax.Array, members: jax.Array, hyper: Hyperparameters
) -> jax.Array:
    """Draw starts: members [...] int -> parameters [..., D]; depends on (key, member) alone."""

    # Once flattened, they would fit in any order of their axes.
    chex.assert_tree_shape(hyper, members.shape, custom_message="hyper [...] as members [...]")

    def one(index: jax.Array, hyper: Hyperparameters) -> jax.Array:
        start = member.initial(network, rng.at(key, "init", index), hyper.init_scale)
        return network.spec.flatten(start)

    flat = jax.vmap(one)(members.reshape(-1), jax.tree.map(lambda x: x.reshape(-1), hyper))
    return flat.reshape(*members.shape, -1)
