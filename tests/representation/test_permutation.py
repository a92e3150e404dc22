"""Letting units change places keeps the function, for every registered network."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.representation import permutation
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network
from mole_jax.tasks.networks.symmetries import Permutation


def outputs(network: Network, flat: np.ndarray) -> np.ndarray:
    x = jax.random.normal(jax.random.key(2), (20, network.n_inputs))
    return np.asarray(jax.jit(lambda p: network.apply(network.spec.unflatten(p), x))(flat))


def test_orders_are_permutations_that_depend_on_the_key(network: Network) -> None:
    drawn = set()
    for seed in range(4):
        orders = permutation.random_orders(network, jax.random.key(seed))
        sizes = [network.sizes[s.axis] for s in network.permutations]
        assert [sorted(o.tolist()) for o in orders] == [list(range(n)) for n in sizes]
        drawn.add(tuple(orders[0].tolist()))
    assert len(drawn) > 1


def test_layers_of_equal_width_get_different_orders() -> None:
    network = networks.build({"name": "mlp", "hidden": (9, 9), "activation": "relu"}, (2,), 2)
    first, second = permutation.random_orders(network, jax.random.key(0))
    assert first.tolist() != second.tolist()


def test_blocks_stay_together() -> None:
    """GroupNorm's channels change places within their group, and groups as a whole."""
    network = networks.build(
        {"name": "cnn", "channels": (12,), "strides": (1,), "bias": False, "norm_groups": 4},
        (4, 4, 1),
        2,
    )
    found = set()
    for seed in range(8):
        (order,) = permutation.random_orders(network, jax.random.key(seed))
        blocks = np.asarray(order).reshape(4, 3) // 3
        assert (blocks == blocks[:, :1]).all()
        found.add(tuple(blocks[:, 0].tolist()))
    assert len(found) > 1


def test_permuting_keeps_the_function(network: Network, flat: np.ndarray) -> None:
    orders = permutation.random_orders(network, jax.random.key(3))
    permuted = permutation.permute(network, flat[0], orders)
    assert not np.array_equal(permuted, flat[0])
    np.testing.assert_allclose(
        outputs(network, permuted), outputs(network, flat[0]), rtol=1e-4, atol=1e-4
    )


def test_permuting_one_axis_alone_moves_it(network: Network, flat: np.ndarray) -> None:
    """Each declared axis occurs in the parameters: permuting it changes them."""
    still = [np.arange(network.sizes[s.axis]) for s in network.permutations]
    for i, order in enumerate(permutation.random_orders(network, jax.random.key(7))):
        turned = np.roll(order, 1) if network.permutations[i].blocks == 1 else order
        moved = permutation.permute(network, flat[0], [*still[:i], turned, *still[i + 1 :]])
        if not np.array_equal(turned, still[i]):
            assert not np.array_equal(moved, flat[0])


def test_permuting_back_gives_the_network_back(network: Network, flat: np.ndarray) -> None:
    orders = [np.asarray(o) for o in permutation.random_orders(network, jax.random.key(3))]
    there = permutation.permute(network, flat[0], orders)
    back = permutation.permute(network, there, [np.argsort(o) for o in orders])
    np.testing.assert_array_equal(back, flat[0])
    traced = jax.jit(lambda p: permutation.permute(network, p, orders))(jnp.asarray(flat[0]))
    np.testing.assert_array_equal(traced, there)


def test_permuting_outputs_permutes_the_logits(network: Network, flat: np.ndarray) -> None:
    order = np.array([2, 0, 1])
    permuted = permutation.permute_outputs(network, flat[0], order)
    np.testing.assert_allclose(
        outputs(network, permuted), outputs(network, flat[0])[:, order], rtol=1e-5, atol=1e-5
    )


def test_matching_finds_a_permutation(network: Network, flat: np.ndarray) -> None:
    for seed in range(3):
        orders = permutation.random_orders(network, jax.random.key(seed))
        permuted = np.asarray(permutation.permute(network, flat[0], orders))
        found = permutation.match(network, permuted, flat[0])
        np.testing.assert_array_equal(permutation.permute(network, permuted, found), flat[0])


def test_matching_respects_blocks() -> None:
    rng = np.random.default_rng(0)
    gain = rng.normal(size=(6, 6))
    order = permutation._assign(Permutation("channels", blocks=3), gain)
    allowed = [
        np.concatenate([2 * b + np.array(w) for b, w in zip(blocks, within, strict=True)])
        for blocks in itertools.permutations(range(3))
        for within in itertools.product([(0, 1), (1, 0)], repeat=3)
    ]
    best = max(float(gain[np.arange(6), a].sum()) for a in allowed)
    assert gain[np.arange(6), order].sum() == best
