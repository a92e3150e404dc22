"""Consecutive parameters of one tensor in each token; a token never crosses tensors."""

from __future__ import annotations

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.representation.codec import Codec, table
from mole_jax.tasks.networks import Network


def build(network: Network, chunk_size: int) -> Codec:
    """Return the chunk codec: every tensor is cut into pieces of `chunk_size`, the last one padded.

    Raises:
        UserError: for a size below 1.
    """
    if chunk_size < 1:
        raise UserError(f"representation.chunk_size={chunk_size} must be 1 or more")
    spec = network.spec
    rows, kinds, positions = [], [], []
    for kind, field in enumerate(spec.fields):
        flat = np.arange(field.offset, field.offset + field.size)
        for position, begin in enumerate(range(0, field.size, chunk_size)):
            rows.append(flat[begin : begin + chunk_size])
            kinds.append(kind)
            positions.append(position)
    return Codec(
        "chunk",
        table(rows, min(chunk_size, max(map(len, rows)))),
        np.array(kinds, np.int32),
        np.array(positions, np.int32),
        tuple(field.path for field in spec.fields),
        spec,
        network.output_of,
    )
