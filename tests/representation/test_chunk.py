"""A chunk holds consecutive parameters of one tensor."""

from __future__ import annotations

import numpy as np
import pytest

from mole_jax.representation import chunk
from mole_jax.tasks.networks import Network


@pytest.mark.parametrize("chunk_size", [1, 4, 7, 1000])
def test_chunks_are_pieces_of_one_tensor_in_order(network: Network, chunk_size: int) -> None:
    codec = chunk.build(network, chunk_size)
    largest = max(field.size for field in network.spec.fields)
    assert codec.n_channels == min(chunk_size, largest)  # no channel that is always padding
    for kind, field in enumerate(network.spec.fields):
        mine = codec.kind == kind
        assert mine.sum() == -(-field.size // chunk_size)
        np.testing.assert_array_equal(codec.position[mine], np.arange(mine.sum()))
        pieces = codec.table[mine]
        np.testing.assert_array_equal(
            pieces[pieces >= 0], np.arange(field.offset, field.offset + field.size)
        )
    assert set(codec.kind) == set(range(len(network.spec.fields)))
