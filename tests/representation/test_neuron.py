"""A neuron token holds one unit, and permuting the units permutes their tokens."""

from __future__ import annotations

import itertools

import jax
import numpy as np

from mole_jax.representation import neuron, permutation
from mole_jax.tasks.networks import Network
from tests.representation.conftest import NETWORKS


def test_a_token_is_a_unit_with_its_weights(mlp: Network, mlp_flat: np.ndarray) -> None:
    codec = neuron.build(mlp)
    hidden = [mlp.sizes[s.axis] for s in mlp.permutations]
    assert codec.n_tokens == sum(hidden) + 1
    assert not codec.position.any()  # units have no order
    params = mlp.spec.unflatten(mlp_flat[0])
    tokens = np.asarray(codec.encode(mlp_flat[0]))
    names = [f"hidden_{i}" for i in range(len(hidden))] + ["output"]
    row = 0
    for kind, (name, onward) in enumerate(itertools.pairwise(names)):
        for unit in range(hidden[kind]):
            kernel, bias = params[name]["kernel"][:, unit], params[name]["bias"][unit : unit + 1]
            expected = np.concatenate([bias, kernel, params[onward]["kernel"][unit]])
            np.testing.assert_array_equal(tokens[row, : len(expected)], expected)
            assert codec.kind[row] == kind
            row += 1
    np.testing.assert_array_equal(tokens[row, :3], params["output"]["bias"])
    assert codec.kind[row] == len(hidden)


def test_permuting_units_of_one_hidden_layer_permutes_tokens(
    mlp: Network, mlp_flat: np.ndarray
) -> None:
    """Of several layers, one at a time, whose neighbours then see their channels permuted."""
    codec = neuron.build(mlp)
    tokens = np.asarray(codec.encode(mlp_flat[0]))
    orders = [np.asarray(o) for o in permutation.random_orders(mlp, jax.random.key(1))]
    permuted = np.asarray(codec.encode(permutation.permute(mlp, mlp_flat[0], orders)))
    widths = [mlp.n_inputs, *map(len, orders), mlp.n_outputs]
    first = 0
    for layer, order in enumerate(orders):
        rows = np.arange(first, first + len(order))
        n_in, n_out = widths[layer], widths[layer + 2]
        before = orders[layer - 1] if layer else np.arange(n_in)
        after = orders[layer + 1] if layer + 1 < len(orders) else np.arange(n_out)
        channels = np.concatenate([[0], 1 + before, 1 + n_in + after])
        np.testing.assert_array_equal(
            permuted[rows][:, : len(channels)], tokens[rows[order]][:, channels]
        )
        first += len(order)
    np.testing.assert_array_equal(permuted[-1], tokens[-1])  # the output biases stay


def test_every_parameter_of_a_unit_is_in_its_token(network: Network) -> None:
    codec = neuron.build(network)
    row = 0
    for kind, unit in enumerate(network.units):
        count = int(np.prod([network.sizes[axis] for axis in unit]))
        assert (codec.kind[row : row + count] == kind).all()
        for field in network.spec.fields:
            if set(unit) <= set(network.axes[field.path]):
                inside = [
                    int(((t >= field.offset) & (t < field.offset + field.size)).sum())
                    for t in codec.table[row : row + count]
                ]
                assert inside == [field.size // count] * count
        row += count


def test_units_that_can_change_places_have_no_position(network: Network) -> None:
    codec = neuron.build(network)
    for kind, unit in enumerate(network.units):
        positions = codec.position[codec.kind == kind]
        free = [s.axis for s in network.permutations if s.blocks == 1]
        if len(unit) == 1 and unit[0] in free:
            assert not positions.any()
        elif len(unit) == 1:
            assert positions.tolist() == list(range(len(positions)))
        else:  # a dimension of a head knows its head, and not its place there
            assert len(set(positions)) == network.sizes[unit[0]]


def test_permuting_heads_and_units_of_a_vit_permutes_tokens() -> None:
    """The residual stream in place, its channels are too."""
    network = NETWORKS["vit"]
    codec = neuron.build(network)
    flat = np.arange(network.spec.size, dtype=np.float32)
    orders = [np.asarray(o) for o in permutation.random_orders(network, jax.random.key(1))]
    names = [s.axis for s in network.permutations]
    orders[names.index("width")] = np.arange(network.sizes["width"])
    before = np.asarray(codec.encode(flat))
    after = np.asarray(codec.encode(permutation.permute(network, flat, orders)))
    assert not np.array_equal(before, after)
    assert sorted(map(tuple, before)) == sorted(map(tuple, after))


def test_in_canonical_order_every_unit_has_a_position(network: Network) -> None:
    codec = neuron.build(network, canonical_order=True)
    places = set(zip(codec.kind.tolist(), codec.position.tolist(), strict=True))
    assert len(places) == codec.n_tokens
    np.testing.assert_array_equal(codec.table, neuron.build(network).table)
