"""Aligning undoes what changes no function, and distances do not see it."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest

from mole_jax.representation import alignment, permutation, rotation
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network


def moved(network: Network, flat: np.ndarray, seed: int, turn: bool = True) -> np.ndarray:
    """The same function, with other parameters."""
    key = jax.random.key(seed)
    flat = np.asarray(permutation.permute(network, flat, permutation.random_orders(network, key)))
    if not (turn and network.rotations):
        return flat
    return np.asarray(rotation.rotate(network, flat, rotation.random_turns(network, key)))


@pytest.mark.parametrize("seed", range(3))
def test_aligning_undoes_a_permutation(network: Network, flat: np.ndarray, seed: int) -> None:
    there = moved(network, flat[0], seed, turn=False)
    np.testing.assert_allclose(alignment.align(network, there, flat[0]), flat[0], atol=1e-4)
    assert alignment.distance(network, there, flat[0]) < 1e-3


def test_aligning_keeps_the_function_and_comes_nearer(network: Network, flat: np.ndarray) -> None:
    there = moved(network, flat[0], 5)
    back = alignment.align(network, there, flat[1])
    assert np.linalg.norm(back - flat[1]) < np.linalg.norm(there - flat[1])
    x = jax.random.normal(jax.random.key(2), (20, network.n_inputs))
    apply = jax.jit(lambda p: network.apply(network.spec.unflatten(p), x))
    np.testing.assert_allclose(apply(back), apply(there), rtol=1e-3, atol=1e-3)
    symmetries = alignment.match(network, there, flat[1])
    np.testing.assert_array_equal(alignment.apply(network, there, symmetries), back)


def test_one_hidden_layer_is_matched_best_of_all_permutations() -> None:
    network = networks.build({"name": "mlp", "hidden": (4,), "activation": "relu"}, (3,), 2)
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.normal(size=(2, network.spec.size)).astype(np.float32)
        every = [
            float(np.linalg.norm(permutation.permute(network, a, [np.array(order)]) - b))
            for order in itertools.permutations(range(4))
        ]
        found = alignment.distance(network, a, b)
        assert found == pytest.approx(min(every), rel=1e-5)
        assert found == pytest.approx(alignment.distance(network, b, a), rel=1e-5)


def test_the_nearest_of_many_is_found(network: Network, flat: np.ndarray) -> None:
    """A copy in another order, slightly changed, is told from other networks."""
    near = moved(network, flat[1], 4, turn=False)
    near = near + np.float32(1e-3) * flat[2]
    (found,) = alignment.nearest(network, near[None], flat)
    assert found == pytest.approx(1e-3 * np.linalg.norm(flat[2]), rel=0.05)
    far = alignment.nearest(network, (2 * flat[2])[None], flat[:2])
    assert far[0] > 100 * found
