"""Turning the bases inside attention heads keeps the function."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mole_jax.representation import rotation
from mole_jax.tasks.networks import Network
from tests.representation.conftest import NETWORKS
from tests.representation.test_permutation import outputs

TURNABLE = [name for name, network in NETWORKS.items() if network.rotations]


@pytest.fixture(params=TURNABLE)
def turnable(request: pytest.FixtureRequest) -> Network:
    return NETWORKS[request.param]


@pytest.fixture
def one(turnable: Network) -> np.ndarray:
    return np.array(jax.random.normal(jax.random.key(0), (turnable.spec.size,)))


def test_vits_have_bases_that_may_be_turned() -> None:
    assert TURNABLE == ["vit", "vit with class token", "several"]


def test_turning_keeps_the_function(turnable: Network, one: np.ndarray) -> None:
    turns = rotation.random_turns(turnable, jax.random.key(1))
    turned = np.asarray(rotation.rotate(turnable, one, turns))
    assert np.linalg.norm(turned - one) > 1
    np.testing.assert_allclose(
        outputs(turnable, turned), outputs(turnable, one), rtol=1e-3, atol=1e-4
    )


def test_each_head_has_a_turn_of_its_own(turnable: Network) -> None:
    for symmetry, turn in zip(
        turnable.rotations, rotation.random_turns(turnable, jax.random.key(1)), strict=True
    ):
        n = turnable.sizes[symmetry.axis]
        assert turn.shape == (turnable.sizes[symmetry.each], n, n)
        assert not np.allclose(turn[0], turn[1])
        np.testing.assert_allclose(
            turn @ turn.swapaxes(1, 2), np.broadcast_to(np.eye(n), turn.shape), atol=1e-5
        )


def test_matching_finds_the_turns(turnable: Network, one: np.ndarray) -> None:
    turns = rotation.random_turns(turnable, jax.random.key(1))
    turned = np.asarray(rotation.rotate(turnable, one, turns))
    back = rotation.rotate(turnable, turned, rotation.match(turnable, turned, one))
    np.testing.assert_allclose(back, one, atol=1e-4)
