"""Permuting hidden units keeps the function, and the distance does not see it."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.representation import permutation
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network


def test_orders_are_permutations_that_depend_on_the_key(network: Network) -> None:
    hidden = network.widths[1:-1]
    drawn = set()
    for seed in range(4):
        orders = permutation.random_orders(network, jax.random.key(seed))
        assert [sorted(o.tolist()) for o in orders] == [list(range(n)) for n in hidden]
        drawn.add(tuple(orders[0].tolist()))
    assert len(drawn) > 1


def test_layers_of_equal_width_get_different_orders() -> None:
    network = networks.build({"name": "mlp", "hidden": (9, 9), "activation": "relu"}, 2, 2)
    first, second = permutation.random_orders(network, jax.random.key(0))
    assert first.tolist() != second.tolist()


def test_permuting_keeps_the_function(network: Network, flat: np.ndarray) -> None:
    x = jax.random.normal(jax.random.key(2), (20, 7))
    orders = permutation.random_orders(network, jax.random.key(3))
    apply = jax.jit(lambda p: network.apply(network.spec.unflatten(p), x))
    permuted = permutation.permute(network, flat[0], orders)
    assert not np.array_equal(permuted, flat[0])
    np.testing.assert_allclose(apply(permuted), apply(flat[0]), rtol=1e-4, atol=1e-4)


def test_permuting_back_gives_the_network_back(network: Network, flat: np.ndarray) -> None:
    orders = [np.asarray(o) for o in permutation.random_orders(network, jax.random.key(3))]
    there = permutation.permute(network, flat[0], orders)
    back = permutation.permute(network, there, [np.argsort(o) for o in orders])
    np.testing.assert_array_equal(back, flat[0])
    traced = jax.jit(lambda p: permutation.permute(network, p, orders))(jnp.asarray(flat[0]))
    np.testing.assert_array_equal(traced, there)


def test_permuting_outputs_permutes_the_logits(network: Network, flat: np.ndarray) -> None:
    x = jax.random.normal(jax.random.key(2), (20, 7))
    order = np.array([2, 0, 1])
    permuted = permutation.permute_outputs(network, flat[0], order)
    logits = network.apply(network.spec.unflatten(flat[0]), x)
    changed = network.apply(network.spec.unflatten(permuted), x)
    np.testing.assert_allclose(changed, logits[:, order], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_aligning_undoes_a_permutation(network: Network, flat: np.ndarray, seed: int) -> None:
    orders = permutation.random_orders(network, jax.random.key(seed))
    permuted = np.asarray(permutation.permute(network, flat[0], orders))
    np.testing.assert_array_equal(permutation.align(network, permuted, flat[0]), flat[0])
    assert permutation.distance(network, permuted, flat[0]) == 0
    assert permutation.distance(network, flat[0], permuted) == 0


def test_one_hidden_layer_is_matched_best_of_all_permutations() -> None:
    network = networks.build({"name": "mlp", "hidden": (4,), "activation": "relu"}, 3, 2)
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.normal(size=(2, network.spec.size)).astype(np.float32)
        every = [
            float(np.linalg.norm(permutation.permute(network, a, [np.array(order)]) - b))
            for order in itertools.permutations(range(4))
        ]
        found = permutation.distance(network, a, b)
        assert found == pytest.approx(min(every), rel=1e-5)
        assert found == pytest.approx(permutation.distance(network, b, a), rel=1e-5)


def test_distance_does_not_see_the_order_of_units(network: Network, flat: np.ndarray) -> None:
    a, b = flat[0], flat[0] + np.float32(0.1) * flat[1]
    orders = permutation.random_orders(network, jax.random.key(5))
    plain = permutation.distance(network, a, b)
    assert plain <= np.linalg.norm(a - b) * (1 + 1e-5)
    shuffled = permutation.permute(network, b, orders)
    assert permutation.distance(network, a, np.asarray(shuffled)) == pytest.approx(plain, rel=1e-5)
    assert permutation.distance(network, b, a) == pytest.approx(plain, rel=1e-5)


def test_neuron_vectors_permute_with_the_units(network: Network, flat: np.ndarray) -> None:
    vectors = permutation.neuron_vectors(network, flat)
    hidden, out = network.widths[1:3]
    assert vectors.shape == (3, hidden, 7 + 1 + out)
    order = np.random.default_rng(0).permutation(hidden)
    others = [np.arange(n) for n in network.widths[2:-1]]
    permuted = permutation.permute(network, flat[1], [order, *others])
    np.testing.assert_array_equal(permutation.neuron_vectors(network, permuted), vectors[1][order])
