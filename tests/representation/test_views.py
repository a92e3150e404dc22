"""Tensors are read from tokens, and written into them, as the table says."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mole_jax import representation
from mole_jax.representation import views
from mole_jax.representation.codec import Codec
from mole_jax.tasks.networks import Network


@pytest.fixture(params=["neuron", "chunk", "flat"])
def codec(request: pytest.FixtureRequest, network: Network) -> Codec:
    return representation.codec(request.param, network, chunk_size=5)


def test_tensors_are_what_the_table_says(codec: Codec, network: Network, flat: np.ndarray) -> None:
    tokens = np.where(codec.mask, flat[:, codec.table], 0)
    apart = views.split(codec.views, tokens)
    np.testing.assert_array_equal(views.join(codec.views, apart), tokens)
    found = views.tensors(codec.views, apart)
    for field, tensor in zip(network.spec.fields, found, strict=True):
        np.testing.assert_array_equal(tensor, flat[:, field.slice].reshape(-1, *field.shape))
    for a, b in zip(views.pieces(codec.views, found), apart, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_is_gathered(codec: Codec, flat: np.ndarray) -> None:
    """Neither forward nor backward: a CPU gathers and scatters number by number."""

    def there_and_back(flat: jax.Array) -> jax.Array:
        return codec.decode(codec.encode(flat) ** 2).sum()

    program = jax.jit(jax.value_and_grad(there_and_back)).lower(flat).as_text()
    assert "gather" not in program
    assert "scatter" not in program


def test_rows_out_of_order_are_refused(network: Network) -> None:
    codec = representation.codec("neuron", network, chunk_size=5)
    table = codec.table.copy()
    table[[0, 1]] = table[[1, 0]]
    with pytest.raises(ValueError, match="no rectangle of"):
        views.find(table, network.spec)


def test_a_part_that_occurs_more_often_is_refused(network: Network) -> None:
    codec = representation.codec("chunk", network, chunk_size=5)
    largest = max(network.spec.fields, key=lambda field: field.size)
    again = np.full((1, codec.n_channels), -1, np.int32)
    again[0, 0] = largest.offset
    table = np.concatenate([codec.table, again])
    with pytest.raises(ValueError, match="more often than others"):
        views.find(table, network.spec)
