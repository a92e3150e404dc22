"""One token for each unit of a network, holding every parameter that belongs to it.

A network says what its units are (`Network.units`): the hidden units of an MLP, the channels of a
CNN, the dimensions of attention heads, pixels and places of a ViT. A unit's token has the entries
at its index in every tensor with its axes: for a hidden unit, its bias, its incoming and its
outgoing weights. Interchangeable units of one axis carry no position. So a transformer over them is
equivariant: permuting the units of its input permutes those of its output. A kernel between two
axes of units occurs twice (as outgoing and as incoming weights); decoding averages the two copies.
Tensors that belong to no unit come last.
"""

from __future__ import annotations

import itertools

import numpy as np

from mole_jax.representation.codec import Codec, table
from mole_jax.tasks.networks import Network


def build(network: Network, canonical_order: bool = False) -> Codec:
    """Return the neuron codec of a network: L = units and the rest, C = the widest unit.

    With `canonical_order` no units are interchangeable: every token of a kind has a position.
    """
    free = {symmetry.axis for symmetry in network.permutations if symmetry.blocks == 1}
    rows: list[np.ndarray] = []
    kinds: list[int] = []
    positions: list[int] = []
    for kind, unit in enumerate(network.units):
        sizes = [network.sizes[axis] for axis in unit]
        for number, index in enumerate(itertools.product(*map(range, sizes))):
            rows.append(_belonging(network, dict(zip(unit, index, strict=True))))
            kinds.append(kind)
            if not canonical_order and len(unit) > 1:
                positions.append(index[0])  # the head matters, the dimension inside it does not
            else:
                interchangeable = not canonical_order and unit[0] in free
                positions.append(0 if interchangeable else number)
    width = max(map(len, rows))
    left = [f for f in network.spec.fields if not _units_of(network, f.path)]
    for kind, field in enumerate(left, start=len(network.units)):
        flat = np.arange(field.offset, field.offset + field.size)
        for position, begin in enumerate(range(0, field.size, width)):
            rows.append(flat[begin : begin + width])
            kinds.append(kind)
            positions.append(position)
    return Codec(
        "neuron",
        table(rows, width),
        np.array(kinds, np.int32),
        np.array(positions, np.int32),
        (*("/".join(unit) for unit in network.units), *(field.path for field in left)),
        network.spec,
        network.output_of,
    )


def _units_of(network: Network, path: str) -> list[tuple[str, ...]]:
    """Return the kinds of units that a tensor belongs to."""
    return [unit for unit in network.units if set(unit) <= set(network.axes[path])]


def _belonging(network: Network, unit: dict[str, int]) -> np.ndarray:
    """Flat indices of all parameters of a unit, given its index along each of its axes."""
    parts = []
    for field in network.spec.fields:
        axes = network.axes[field.path]
        if set(unit) <= set(axes):
            every = np.arange(field.size).reshape(field.shape) + field.offset
            parts.append(every[tuple(unit.get(axis, slice(None)) for axis in axes)].reshape(-1))
    return np.concatenate(parts)
