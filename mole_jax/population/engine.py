"""Train many members: vmapped, some at once, block after block, on every device its share.

A CPU is one device of several cores. It trains in lanes, a thread for each core: programs side by
side share the work better than the operations of one program do, which wait for one another.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from mole_jax.core import rng
from mole_jax.core.devices import distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.population import member, ppo
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import History, Recipe
from mole_jax.population.ppo import PPORecipe
from mole_jax.tasks import examples
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.family import DeviceData
from mole_jax.tasks.networks import Network


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _train(
    network: Network,
    recipe: Recipe | PPORecipe,
    width: int,
    mesh: Mesh,
    data: Any,
    tasks: jax.Array,  # [G]
    batch_keys: jax.Array,  # [G] or [G, M]
    starts: jax.Array,  # [G, M, D]
    hyper: Hyperparameters,  # leaves [G, M]
    fixed: Examples | None,  # leaves [G, n, ...]
) -> History:
    n_members = starts.shape[1]

    def of_subsets(
        data: Any,
        tasks: jax.Array,
        batch_keys: jax.Array,
        starts: jax.Array,
        hyper: Hyperparameters,
        fixed: Examples | None,
    ) -> History:
        def of_subset(
            task: jax.Array,
            batch_keys: jax.Array,
            starts: jax.Array,
            hyper: Hyperparameters,
            fixed: Examples | None,
        ) -> History:
            def of_member(
                batch_key: jax.Array, start: jax.Array, hyper: Hyperparameters
            ) -> History:
                params = network.spec.unflatten(start)
                if isinstance(recipe, PPORecipe):
                    return ppo.train(
                        network,
                        recipe,
                        data.environment,
                        data.parameters[task],
                        batch_key,
                        params,
                        hyper,
                        evaluation_key=data.key,
                    )
                return member.train(network, recipe, data, task, batch_key, params, hyper, fixed)

            if _shares(recipe):
                shared = functools.partial(of_member, batch_keys)
                return _in_blocks(shared, width, starts, hyper)
            return _in_blocks(of_member, width, batch_keys, starts, hyper)

        at_once = max(width // n_members, 1)
        return _in_blocks(of_subset, at_once, tasks, batch_keys, starts, hyper, fixed)

    # Each device loops over its own subsets; under jit alone it would loop over everybody's.
    rows = PartitionSpec(mesh.axis_names)
    return jax.shard_map(
        of_subsets,
        mesh=mesh,
        in_specs=(PartitionSpec(), rows, rows, rows, rows, rows),
        out_specs=rows,
        check_vma=False,
    )(data, tasks, batch_keys, starts, hyper, fixed)


def _in_blocks(function: Callable[..., Any], size: int, *arrays: Any) -> Any:
    """vmap `function` over the first axis, at most `size` at once, block after block.

    The blocks are as equal as they can be; the last is filled up with copies that do not come back.
    One at a time goes without vmap, which would make batches of one of all products.
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
    fixed: Examples | None = None,
    width: int = 0,
    first_member: int = 0,
) -> History:
    """Train G data subsets x M members from given starts.

    The subset axis is sharded over all devices of the mesh; members of one subset stay together,
    because they can share minibatches, unless there are several devices for each subset: then these
    divide its members. There are no collectives.

    Args:
        network: what is trained.
        recipe: static choices.
        data: the tasks on device.
        tasks: [G] positions in the task table.
        batch_keys: [G] keys, one for each subset; own minibatches derive one for each member.
        starts: [G, M, D] initial parameters.
        hyper: leaves [G, M].
        mesh: the devices.
        fixed: leaves [G, n, ...]: train on these examples only (data-matched baselines).
        width: how many members train side by side in a lane, the others after them; 0: all. It
            changes speed and memory, and results by no more than rounding (see `width.py`).
        first_member: the number of the first of the M members; own minibatches depend on it.

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
    if fixed is not None:
        examples.check(fixed, dims["G"], network.n_inputs)
    n_groups, n_members = dims["GM"]
    if not _shares(recipe):
        fold = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))
        batch_keys = fold(batch_keys, first_member + jnp.arange(n_members))
    batch = (tasks, batch_keys, starts, hyper, fixed)
    data = distributed.put(data, mesh_lib.replicated(mesh))
    n = min(lanes(mesh), max(n_groups, n_members))
    if n > 1:
        return _in_lanes(network, recipe, width, mesh, data, batch, n)
    parts = max(min(mesh.size // n_groups, n_members), 1) if fixed is None else 1
    if parts > 1:
        batch = _divided(batch, parts)
    # Padding repeats the last subset, so that every device has the same number of them.
    batch = _filled_up(batch, mesh.size)
    padded = len(batch[0])
    batch = distributed.put(batch, mesh_lib.along(mesh, mesh.axis_names))
    width = width or padded // mesh.size * batch[2].shape[1]
    history = _train(network, recipe, width, mesh, data, *batch)
    if mesh.devices.flat[0].platform == "cpu":
        # Nothing is gained by more work at the same time on the same cores, and tests that did
        # have crashed, seldom, within XLA.
        history = jax.block_until_ready(history)
    if (padded, parts) == (n_groups, 1):
        return history
    return _collected(history, n_groups, n_members, parts)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _collected(history: History, n_groups: int, n_members: int, parts: int) -> History:
    """What `_divided` and `_filled_up` have made more of, as it was: leaves [G, M, S, ...].

    One program for all leaves: here devices exchange what they have, and where programs that do
    so are under way at the same time, those of a CPU may wait for one another for ever.
    """

    def collected(x: jax.Array) -> jax.Array:
        x = x[: n_groups * parts]
        return x.reshape(n_groups, -1, *x.shape[2:])[:, :n_members]

    return jax.tree.map(collected, history)


def lanes(mesh: Mesh) -> int:
    """How many parts of a population train at the same time on each device of a mesh."""
    if mesh.size > 1 or mesh.devices.flat[0].platform != "cpu":
        return 1
    known = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return max(cores // jax.local_device_count(), 1)


def _in_lanes(
    network: Network,
    recipe: Recipe | PPORecipe,
    width: int,
    mesh: Mesh,
    data: Any,
    batch: tuple[Any, ...],
    n: int,
) -> History:
    """Train in `n` threads: each takes equally many subsets, or members of all where these are few.

    `batch` are the arguments of `_train` after `data`.
    """
    tasks, batch_keys, starts, hyper, fixed = batch
    n_groups, n_members = starts.shape[:2]
    by_subset = n_groups >= n
    if by_subset:
        parts = [_rows(_filled_up(batch, n), i, n) for i in range(n)]
    else:
        # Members of a subset with minibatches of their own have keys of their own, too.
        own = (starts, hyper) if _shares(recipe) else (starts, hyper, batch_keys)
        own = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), own)
        parts = []
        for i in range(n):
            part = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), _rows(_filled_up(own, n), i, n))
            keys = batch_keys if _shares(recipe) else part[2]
            parts.append((tasks, keys, *part[:2], fixed))
    parts = distributed.put(parts, mesh_lib.replicated(mesh))
    width = width or parts[0][2].shape[0] * parts[0][2].shape[1]
    # Compiled here and once: threads that ask for the same program at the same time each make it.
    leaves, structure = jax.tree.flatten((data, *parts[0]))
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding) for x in leaves)
    program = _compiled(network, recipe, width, mesh, structure, shapes)
    with ThreadPoolExecutor(n, thread_name_prefix="lane") as pool:
        futures = [
            pool.submit(lambda part: jax.block_until_ready(program(data, *part)), part)
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
    width: int,
    mesh: Mesh,
    structure: Any,
    shapes: tuple[jax.ShapeDtypeStruct, ...],
) -> jax.stages.Compiled:
    """`_train` for arguments, from `data` on, of a structure and shapes."""
    arguments = jax.tree.unflatten(structure, shapes)
    return _train.lower(network, recipe, width, mesh, *arguments).compile()


def _divided(batch: tuple[Any, ...], parts: int) -> tuple[Any, ...]:
    """Each data subset as `parts` subsets with a part of its members: [G, M] -> [G * parts, m].

    The last part is filled up by repeating the last member; `batch` is as in `_in_lanes`.
    """
    tasks, batch_keys, starts, hyper, fixed = batch
    n_groups, n_members = starts.shape[:2]
    size = -(-n_members // parts)

    def divided(x: jax.Array) -> jax.Array:
        x = x[:, jnp.minimum(jnp.arange(parts * size), n_members - 1)]
        return x.reshape(n_groups * parts, size, *x.shape[2:])

    def repeated(x: jax.Array) -> jax.Array:
        return x[jnp.repeat(jnp.arange(n_groups), parts)]

    own = batch_keys.ndim == 2  # a key for each member
    keys = divided(batch_keys) if own else repeated(batch_keys)
    return repeated(tasks), keys, divided(starts), jax.tree.map(divided, hyper), fixed


def _filled_up(batch: Any, multiple: int) -> Any:
    """Repeat the last row of every leaf until `multiple` divides how many there are."""
    n = len(jax.tree.leaves(batch)[0])
    rows = jnp.minimum(jnp.arange(mesh_lib.pad_to_multiple(n, multiple)), n - 1)
    return jax.tree.map(lambda x: x[rows], batch)


def _rows(batch: Any, i: int, n: int) -> Any:
    """The i-th of `n` equal parts of the rows of every leaf."""
    size = len(jax.tree.leaves(batch)[0]) // n
    return jax.tree.map(lambda x: x[i * size : (i + 1) * size], batch)


def _shares(recipe: Recipe | PPORecipe) -> bool:
    """Whether the members of a task see the same minibatches; policies see what they have met."""
    return isinstance(recipe, Recipe) and recipe.share_minibatches


@functools.partial(jax.jit, static_argnums=0)
def initial(
    network: Network, key: jax.Array, members: jax.Array, hyper: Hyperparameters
) -> jax.Array:
    """Fresh starts: members [...] int -> parameters [..., D]; depends on (key, member) alone."""

    # Flat they would fit in any order of their axes.
    chex.assert_tree_shape(hyper, members.shape, custom_message="hyper [...] as members [...]")

    def one(index: jax.Array, hyper: Hyperparameters) -> jax.Array:
        start = member.initial(network, rng.at(key, "init", index), hyper.init_scale)
        return network.spec.flatten(start)

    flat = jax.vmap(one)(members.reshape(-1), jax.tree.map(lambda x: x.reshape(-1), hyper))
    return flat.reshape(*members.shape, -1)
