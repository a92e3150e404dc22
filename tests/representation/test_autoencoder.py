"""A learned latent writes back what it has learned to, and permutes as networks do."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.representation import autoencoder, permutation
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks import networks

NETWORK = networks.build({"name": "mlp", "hidden": (4,)}, (5,), 3)
D = NETWORK.spec.size
PLAIN = Normaliser(np.zeros(D, np.float32), np.ones(D, np.float32), np.ones(D, np.float32))


def runs(n: int) -> np.ndarray:
    """Networks along few directions, their units in any order."""
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(2, D))
    found = (rng.normal(size=(n, 3, 2)) @ basis).astype(np.float32)
    for i, run in enumerate(found):
        orders = permutation.random_orders(NETWORK, jax.random.key(i))
        index = np.asarray(permutation.permute(NETWORK, np.arange(D), orders))
        run[:] = run[:, index]
    return found


@pytest.fixture(scope="module")
def built() -> autoencoder.AutoEncoder:
    settings = {"components": 2 * 5, "steps": 150, "chunk_size": 4}
    arrays, line = autoencoder.fit(settings, NETWORK, runs(200), None)
    assert line.startswith("an auto-encoder of 10 numbers for 39 parameters loses ")
    lost = float(line.partition("loses ")[2].partition("%")[0]) / 100
    assert lost < 0.5
    return autoencoder.build(settings, NETWORK, Fitted(PLAIN, arrays))


def test_networks_come_back_nearly(built: autoencoder.AutoEncoder) -> None:
    given = runs(30)
    back = np.asarray(jax.jit(lambda b, x: b.parameters(b.tokens(x)))(built, given))
    assert ((back - given) ** 2).sum() < 0.5 * (given**2).sum()


def test_latents_are_white_on_what_they_were_fitted_to(built: autoencoder.AutoEncoder) -> None:
    tokens = np.asarray(jax.jit(lambda b, x: b.tokens(x))(built, runs(200))).reshape(600, 5, 2)
    for own in (tokens[:, :4], tokens[:, 4:]):  # of the hidden units, and of the outputs' biases
        np.testing.assert_allclose(own.mean((0, 1)), 0, atol=1e-3)
        np.testing.assert_allclose(own.std((0, 1)), 1, atol=1e-2)


def test_units_in_another_order_have_the_same_latents_in_that_order(
    built: autoencoder.AutoEncoder,
) -> None:
    flat, order = runs(1)[0, 0], np.array([2, 0, 3, 1])
    moved = np.asarray(permutation.permute(NETWORK, flat, [order]))
    one, two = (np.asarray(built.tokens(x)) for x in (flat, moved))
    np.testing.assert_allclose(two[:4], one[:4][order], rtol=1e-3, atol=1e-4)


def test_a_latent_has_a_number_for_each_unit() -> None:
    for k in (4, D + 1):
        with pytest.raises(UserError, match=rf"components={k} must lie in 5\.\.39"):
            autoencoder.shapes({"components": k, "steps": 1}, NETWORK)
