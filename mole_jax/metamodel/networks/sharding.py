"""Sharding: which device holds which part of the training state.

Two rules, both a function of an array's name and shape alone. Tensor parallelism: the dense layers
of the blocks are divided between heads and between hidden units, which needs two sums over devices
for each block (Shoeybi et al. 2019). FSDP: each device keeps a part of every large array; the whole
is gathered where it is used, layer by layer, and gradients are summed into parts (Rajbhandari et
al. 2020, ZeRO stage 3). Optimizer state and moving average are sharded like their parameters.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mole_jax.core.devices import mesh as mesh_lib

# Arrays in here are stacked: axis 0 is the layer, and a scan runs over it.
STACK = "blocks"
# Smaller arrays stay whole: gathering them costs more time than the memory saved is worth.
SMALLEST = 2**14
# The axis, from the end, over which `tensor` divides the arrays of a block.
_TENSOR: dict[tuple[str, ...], int] = {
    ("qkv", "kernel"): -2,  # [W, 3, heads, W / heads]
    ("qkv", "bias"): -2,
    **{(name, kind): -2 for name in ("query", "key", "value") for kind in ("kernel", "bias")},
    ("attention_out", "kernel"): -2,  # [W, W], the input
    ("mlp_in", "kernel"): -1,  # [W, hidden], the output
    ("mlp_in", "bias"): -1,
    ("mlp_out", "kernel"): -2,  # [hidden, W], the input
}


def partition(
    names: tuple[str, ...], shape: tuple[int, ...], sizes: Mapping[str, int]
) -> PartitionSpec:
    """Return how an array is divided.

    Args:
        names: its path, such as ("blocks", "qkv", "kernel").
        shape: of the array, with the axis of layers if it is in the stack.
        sizes: of the mesh axes.
    """
    axes: list[str | None] = [None] * len(shape)
    stacked = STACK in names
    along = _TENSOR.get(names[-2:]) if stacked else None
    if along is not None and sizes["tensor"] > 1:
        axes[along] = "tensor"
    if sizes["fsdp"] > 1 and math.prod(shape) >= SMALLEST:
        free = [
            i
            for i in range(int(stacked), len(shape))
            if axes[i] is None and shape[i] % sizes["fsdp"] == 0
        ]
        if free:
            axes[max(free, key=lambda i: shape[i])] = "fsdp"
    return PartitionSpec(*axes)


def placed(shapes: Any, mesh: Mesh) -> Any:
    """Add the shardings on a mesh to a pytree of jax.ShapeDtypeStruct."""

    def place(path: Any, leaf: Any) -> jax.ShapeDtypeStruct:
        sharding = NamedSharding(mesh, partition(_names(path), leaf.shape, mesh.shape))
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map_with_path(place, shapes)


def gathered(params: Any, mesh: Mesh, n_layers: int | None = None) -> Any:
    """Gather parameters over `fsdp` before they are used.

    Its derivative sums gradients into the parts that each device holds.

    Args:
        params: all parameters, of which the stack stays as it is; or those of one layer.
        mesh: the devices.
        n_layers: of the stack, where `params` are those of one of its layers.
    """
    if mesh.shape["fsdp"] == 1:
        return params
    lead = () if n_layers is None else (n_layers,)

    def gather(path: Any, leaf: Any) -> Any:
        names = _names(path) if n_layers is None else (STACK, *_names(path))
        if n_layers is None and STACK in names:
            return leaf
        kept = partition(names, (*lead, *leaf.shape), mesh.shape)[len(lead) :]
        used = PartitionSpec(*(axis if axis == "tensor" else None for axis in kept))
        return _gather(NamedSharding(mesh, used), NamedSharding(mesh, PartitionSpec(*kept)), leaf)

    return jax.tree.map_with_path(gather, params)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gather(used: NamedSharding, kept: NamedSharding, x: jax.Array) -> jax.Array:
    # Constrained twice, so that the cast array travels and not what it was cast from.
    x = jax.lax.with_sharding_constraint(x, kept)
    return jax.lax.with_sharding_constraint(x, used)


_gather.defvjp(
    lambda used, kept, x: (_gather(used, kept, x), None),
    lambda used, kept, _, g: (jax.lax.with_sharding_constraint(g, kept),),
)


def shard_batch(tree: Any, mesh: Mesh | None, axis: int = 0) -> Any:
    """Divide axis `axis` of every array over the devices that share a batch; a no-op without any.

    Compilers find most of this themselves; where they have a choice, this decides.
    """
    if mesh is None or mesh_lib.shares(mesh) == 1:
        return tree
    spec = PartitionSpec(*(None,) * axis, mesh_lib.BATCH)
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, spec))


def _names(path: Any) -> tuple[str, ...]:
    return tuple(key.key for key in path if isinstance(key, jax.tree_util.DictKey))
