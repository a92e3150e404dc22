"""Principal components: the best lossy coordinates of the networks that they were fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.representation import pca
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import Normaliser
from mole_jax.representation.pca import PrincipalComponents
from mole_jax.tasks import networks

NETWORK = networks.build({"name": "mlp", "hidden": (3,)}, (4,), 2)
D = NETWORK.spec.size
PLAIN = Normaliser(np.zeros(D, np.float32), np.ones(D, np.float32), np.ones(D, np.float32))


def runs(n: int, n_snapshots: int = 3) -> np.ndarray:
    """Networks with a few directions of large variance, around a mean that is not zero."""
    rng = np.random.default_rng(0)
    spread = np.exp(-0.2 * np.arange(D))
    found = 1 + (rng.normal(size=(n, n_snapshots, D)) * spread) @ rng.normal(size=(D, D))
    return found.astype(np.float32)


def fitted(k: int, given: np.ndarray, starts: Any = None) -> PrincipalComponents:
    settings = {"components": k, "chunk_size": 4}
    arrays, _ = pca.fit(settings, NETWORK, given, starts)
    return pca.build(settings, NETWORK, Fitted(PLAIN, arrays))


@pytest.mark.parametrize("n", [5, 40])  # fewer networks than parameters, and more
def test_decoding_what_was_encoded_is_the_projection(n: int) -> None:
    given = runs(n)
    found, flat = fitted(6, given), given.reshape(-1, D)
    mean = flat.mean(0, dtype=np.float64)
    _, _, directions = np.linalg.svd(flat - mean, full_matrices=False)
    plane = directions[:6].T @ directions[:6]
    expected = mean + (flat - mean) @ plane
    np.testing.assert_allclose(found.parameters(found.tokens(flat)), expected, atol=1e-4)
    assert np.abs(expected - flat).max() > 0.01


@pytest.mark.parametrize(("n", "k"), [(4, 11), (40, D)])
def test_with_all_components_nothing_is_lost(n: int, k: int) -> None:
    given = runs(n)
    found = fitted(k, given)
    np.testing.assert_allclose(found.parameters(found.tokens(given)), given, atol=1e-4)


def test_tokens_are_white_and_changes_are_those_of_runs() -> None:
    given = runs(40)
    found = fitted(6, given)
    assert found.layout.shape == (2, 4)
    assert found.layout.mask.sum() == 6
    assert (found.layout.output == -1).all()
    tokens = np.asarray(found.tokens(given)).reshape(40, 3, 8)[..., :6]
    np.testing.assert_allclose(tokens.mean((0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(tokens.reshape(-1, 6).T, bias=True), np.eye(6), atol=1e-3)
    changes = np.sqrt(((tokens[:, 1:] - tokens[:, :1]) ** 2).mean((0, 1)))
    np.testing.assert_allclose(np.asarray(found.change).reshape(-1)[:6], changes, rtol=1e-3)


def test_where_runs_share_a_start_changes_are_those_of_other_starts() -> None:
    given = runs(40)
    starts = 2 * given[:, 0]
    found = fitted(4, given, starts)
    expected = np.sqrt((np.asarray(found.tokens(starts)) ** 2).mean(0))
    np.testing.assert_allclose(found.change, expected, rtol=1e-3)


def test_more_components_than_directions_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"the 6 sampled training .* in only 5 directions; set it to 5"
    ):
        fitted(6, runs(2))
    for k in (0, D + 1):
        settings = {"components": k, "chunk_size": 4}
        with pytest.raises(UserError, match=f"components={k} must lie in 1..{D}"):
            pca.build(settings, NETWORK, Fitted(PLAIN, {}))
    with pytest.raises(UserError, match="chunk_size=0 must be 1 or more"):
        pca.build({"components": 3, "chunk_size": 0}, NETWORK, Fitted(PLAIN, {}))
