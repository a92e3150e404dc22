"""A token for each weight, and what it meets."""

from __future__ import annotations

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.representation import weight
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network

MLP = networks.build({"name": "mlp", "hidden": (4,)}, (5,), 3)


def at(network: Network, path: str, *index: int) -> int:
    (field,) = (f for f in network.spec.fields if f.path == path)
    return field.offset + int(np.ravel_multi_index(index, field.shape))


def test_weights_meet_where_they_share_a_unit() -> None:
    edges = weight.edges(MLP)
    np.testing.assert_array_equal(edges, edges.T)
    own = at(MLP, "hidden_0/kernel", 1, 2)
    same = [
        at(MLP, "hidden_0/kernel", 4, 2),
        at(MLP, "hidden_0/bias", 2),
        at(MLP, "output/kernel", 2, 0),
    ]
    other = [at(MLP, "hidden_0/kernel", 4, 1), at(MLP, "output/kernel", 1, 0)]
    assert (edges[own, same] > 0).all() and len(set(edges[own, same].tolist())) == 1
    assert not edges[own, other].any()


def test_a_place_is_known_but_for_units_that_can_change_places() -> None:
    codec = weight.build(MLP)
    position = codec.layout.position

    def of(*index: int) -> int:
        return int(position[at(MLP, "hidden_0/kernel", *index)])

    assert of(1, 0) == of(1, 3) != of(2, 0)
    placed = weight.build(MLP, canonical_order=True).layout.position
    for field in MLP.spec.fields:
        assert len(set(placed[field.slice].tolist())) == field.size


def test_large_networks_are_refused() -> None:
    large = networks.build({"name": "mlp", "hidden": (100,)}, (100,), 3)
    with pytest.raises(UserError, match="attention between all of them; it is for up to 5,000"):
        weight.build(large)
