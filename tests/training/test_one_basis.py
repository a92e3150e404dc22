"""Runs in one basis are the same functions, nearer to one another."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.representation import permutation
from mole_jax.tasks import networks
from mole_jax.tasks.networks import sizes as sizes_of
from mole_jax.training import one_basis

KINDS = {
    "mlp": {"name": "mlp", "hidden": (6, 5)},
    "vit": {"name": "vit", "width": 6, "layers": 1, "mlp": 5},
}


@pytest.mark.parametrize("kind", KINDS)
def test_moved_runs_do_what_they_did(kind: str) -> None:
    shape = (8, 8, 1) if kind == "vit" else (7,)
    network = networks.build(KINDS[kind], shape, 3)
    keys = jax.random.split(jax.random.key(0), 12)
    runs = np.stack([network.spec.flatten(network.init(k)) for k in keys]).reshape(4, 3, -1)
    runs += np.asarray(jax.random.normal(keys[0], runs.shape)) * 0.1
    moved = runs.copy()
    common, line = one_basis.align(network, moved)
    np.testing.assert_allclose(common, moved[:, -1].mean(axis=0), atol=1e-5)
    assert line.startswith("4 runs in one basis")
    x = jax.random.normal(keys[1], (5, network.n_inputs))
    apply = jax.vmap(lambda flat: network.apply(network.spec.unflatten(flat), x))
    for before, after in zip(runs, moved, strict=True):
        one, two = apply(jnp.asarray(before)), apply(jnp.asarray(after))
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)
    assert one_basis._spread(moved) < 0.95 * one_basis._spread(runs)


def test_copies_in_another_order_become_the_same() -> None:
    network = networks.build(KINDS["mlp"], (7,), 3)
    own = network.spec.flatten(network.init(jax.random.key(0)))
    copies = [
        permutation.permute(network, own, permutation.random_orders(network, jax.random.key(i)))
        for i in range(5)
    ]
    runs = np.stack([np.stack([0.5 * x, x]) for x in copies])
    one_basis.align(network, runs)
    np.testing.assert_array_equal(runs, np.broadcast_to(runs[0], runs.shape))


def test_small_networks_stay_in_their_corner_of_the_frame() -> None:
    """Units that a network lacks come last, before as after: a start says which there are."""
    own = {"name": "mlps", "hidden": (6, 5), "widths": (3, 5), "depths": (1, 2), "unseen": ()}
    network = networks.build(own, (7,), 3)
    assert network.frame is not None
    names = ["6-5", "3-5", "3", "5-3", "6-5"]
    sizes = np.array([network.frame.sizes(name) for name in names])
    keys = jax.random.split(jax.random.key(0), len(names))
    fresh = np.stack([np.asarray(network.spec.flatten(network.init(k))) for k in keys])
    first = np.asarray(sizes_of.sized(network, jnp.asarray(fresh), jnp.asarray(sizes)))
    changed = first + 0.1 * np.asarray(jax.random.normal(keys[0], first.shape)) * (first != 0)
    runs = np.stack([first, changed], axis=1)
    moved = runs.copy()
    one_basis.align(network, moved)
    np.testing.assert_array_equal(moved != 0, runs != 0)
    assert np.abs(moved - runs).max() > 0.1
    assert one_basis._spread(moved) < one_basis._spread(runs)
    x = jax.random.normal(keys[1], (5, 7))
    apply = jax.vmap(lambda flat: network.apply(network.spec.unflatten(flat), x))
    for before, after in zip(runs, moved, strict=True):
        np.testing.assert_allclose(apply(before), apply(after), rtol=1e-4, atol=1e-5)


def test_symmetries_that_change_what_a_network_does_are_refused() -> None:
    network = networks.build(KINDS["mlp"], (7,), 3)
    scales = jnp.arange(1.0, 8.0)

    def crooked(params: Any, x: jax.Array) -> jax.Array:
        return network.apply(params, x) * params["hidden_0"]["bias"][0] + scales[:3].sum()

    false = dataclasses.replace(network, apply=crooked)
    runs = np.asarray(jax.random.normal(jax.random.key(0), (2, 2, network.spec.size)))
    with pytest.raises(UserError, match="changes its outputs"):
        one_basis.align(false, runs.copy())
    one_basis.align(network, runs.copy())
