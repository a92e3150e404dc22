"""A neuron token holds one hidden unit, and permuting the units permutes their tokens."""

from __future__ import annotations

import itertools

import jax
import numpy as np

from mole_jax.representation import neuron, permutation
from mole_jax.tasks.networks import Network


def test_a_token_is_a_unit_with_its_weights(network: Network, flat: np.ndarray) -> None:
    codec = neuron.build(network)
    hidden = network.widths[1:-1]
    assert codec.n_tokens == sum(hidden) + 1
    assert not codec.position.any()  # units have no order
    params = network.spec.unflatten(flat[0])
    tokens = np.asarray(codec.encode(flat[0]))
    names = [f"hidden_{i}" for i in range(len(hidden))] + ["output"]
    row = 0
    for kind, (name, onward) in enumerate(itertools.pairwise(names)):
        for unit in range(hidden[kind]):
            kernel, bias = params[name]["kernel"][:, unit], params[name]["bias"][unit : unit + 1]
            expected = np.concatenate([kernel, bias, params[onward]["kernel"][unit]])
            np.testing.assert_array_equal(tokens[row, : len(expected)], expected)
            assert codec.kind[row] == kind
            row += 1
    np.testing.assert_array_equal(tokens[row, :3], params["output"]["bias"])
    assert codec.kind[row] == len(hidden)


def test_permuting_units_of_one_hidden_layer_permutes_tokens(
    network: Network, flat: np.ndarray
) -> None:
    """Of several layers, one at a time, whose neighbours then see their channels permuted."""
    codec = neuron.build(network)
    tokens = np.asarray(codec.encode(flat[0]))
    orders = [np.asarray(o) for o in permutation.random_orders(network, jax.random.key(1))]
    permuted = np.asarray(codec.encode(permutation.permute(network, flat[0], orders)))
    first = 0
    for layer, order in enumerate(orders):
        rows = np.arange(first, first + len(order))
        n_in, n_out = network.widths[layer], network.widths[layer + 2]
        before = orders[layer - 1] if layer else np.arange(n_in)
        after = orders[layer + 1] if layer + 1 < len(orders) else np.arange(n_out)
        channels = np.concatenate([before, [n_in], n_in + 1 + after])
        np.testing.assert_array_equal(
            permuted[rows][:, : len(channels)], tokens[rows[order]][:, channels]
        )
        first += len(order)
    np.testing.assert_array_equal(permuted[-1], tokens[-1])  # the output biases stay
