"""One token for each parameter, and an edge between any two that meet in a unit.

The parameters of a network are the edges of its graph (biases are nodes), as in the neural graphs
of Lim et al. 2024 (Graph Metanetworks) and Kofinas et al. 2024. Interchangeable units carry no
position: the kinds of edges between tokens, which bias attention, show what belongs together.
Attention costs D^2, so this is for small networks.
"""

from __future__ import annotations

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.representation.codec import Codec
from mole_jax.tasks.networks import Network

# With more parameters the kinds of edges alone take 100 MB, and attention 60 times as much.
MOST = 5000


def build(network: Network, canonical_order: bool = False) -> Codec:
    """Return the weight codec of a network: L = D, C = 1.

    With `canonical_order` every unit has a position.

    Raises:
        UserError: for networks with too many parameters.
    """
    spec = network.spec
    if spec.size > MOST:
        raise UserError(
            f"representation.name='weight' has a token for each of {spec.size:,} parameters, and "
            f"attention between all of them; it is for up to {MOST:,}: take 'neuron'"
        )
    free = set() if canonical_order else {s.axis for s in network.permutations if s.blocks == 1}
    kinds, positions = [], []
    for kind, field in enumerate(spec.fields):
        place = np.zeros(field.shape, np.int32)
        for axis, name in enumerate(network.axes[field.path]):
            size = field.shape[axis]
            at = np.zeros(size, np.int32) if name in free else np.arange(size, dtype=np.int32)
            place = place * size + at.reshape(-1, *[1] * (place.ndim - axis - 1))
        kinds.append(np.full(field.size, kind, np.int32))
        positions.append(np.unique(place.reshape(-1), return_inverse=True)[1].astype(np.int32))
    return Codec(
        "weight",
        np.arange(spec.size, dtype=np.int32)[:, None],
        np.concatenate(kinds),
        np.concatenate(positions),
        tuple(field.path for field in spec.fields),
        spec,
        network.output_of,
        edges=edges(network),
    )


def edges(network: Network) -> np.ndarray:
    """Return the kinds of edges [D, D] int32 between parameters: 0 where they do not meet.

    Two parameters meet along an axis of units if they have the same index on it. Every set of axes
    along which two can meet is a kind.
    """
    names = sorted({name for unit in network.units for name in unit})
    met = np.zeros((network.spec.size,) * 2, np.int64)
    for bit, name in enumerate(names):
        index = np.full(network.spec.size, -1, np.int64)
        for field in network.spec.fields:
            axes = network.axes[field.path]
            if name in axes:
                axis = axes.index(name)
                grid = np.indices(field.shape)[axis] if field.shape else np.zeros(())
                index[field.slice] = grid.reshape(-1)
        same = (index[:, None] == index[None]) & (index[:, None] >= 0)
        met |= same.astype(np.int64) << bit
    return np.unique(met, return_inverse=True)[1].reshape(met.shape).astype(np.int32)
