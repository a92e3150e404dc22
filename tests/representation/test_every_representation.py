"""Every registered representation turns parameters into tokens and back."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mole_jax import representation
from mole_jax.core.errors import UserError
from mole_jax.tasks import networks


@pytest.mark.parametrize("canonical_order", [False, True])
@pytest.mark.parametrize("name", representation.NAMES)
def test_every_representation(name: str, canonical_order: bool) -> None:
    network = networks.build({"name": "mlp", "hidden": (6, 4)}, (5,), 3)
    codec = representation.build(name, network, chunk_size=8, canonical_order=canonical_order)
    assert (codec.name, codec.size) == (name, network.spec.size)
    flat = np.asarray(jax.random.normal(jax.random.key(0), (2, codec.size)))
    tokens = jax.jit(codec.encode)(flat)
    shape = tokens.shape[1:]
    assert shape == codec.table.shape == codec.mask.shape
    assert shape[0] == codec.n_tokens == len(codec.kind) == len(codec.position)
    np.testing.assert_array_equal(jax.jit(codec.decode)(tokens), flat)
    assert np.all(np.asarray(tokens)[:, ~codec.mask] == 0)


def test_an_unknown_representation_is_answered_with_the_nearest_and_with_all() -> None:
    network = networks.build({"name": "mlp"}, (5,), 3)
    with pytest.raises(UserError, match=r"did you mean 'chunk'\?") as caught:
        representation.build("chunks", network, chunk_size=8)
    for name in representation.NAMES:
        assert repr(name) in str(caught.value)
