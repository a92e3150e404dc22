"""Classical learners: right on what they can separate, and as sure as they should be."""

from __future__ import annotations

import numpy as np
import pytest

from mole_jax.evaluation.baselines.classical import (
    CLASSICAL,
    TEMPERATURES,
    Classical,
    choose,
    log_probabilities,
)


def blobs(seed: int, k: int, n: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Return n examples of each of k classes in 6 dimensions, class by class."""
    rng = np.random.default_rng(seed)
    centres = apart * np.eye(k, 6)
    x = np.repeat(centres, n, axis=0) + rng.normal(size=(k * n, 6))
    return x.astype(np.float32), np.repeat(np.arange(k), n)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("of", CLASSICAL, ids=lambda of: of.name)
def test_it_tells_classes_apart_and_knows_it(of: Classical, k: int) -> None:
    (x, y), (query, labels) = blobs(0, k, 5, 8.0), blobs(1, k, 40, 8.0)
    for setting in of.settings:
        scores = of.scores(x, y, k, query, setting)
        assert scores.shape == (k * 40, k)
        assert np.mean(scores.argmax(1) == labels) > 0.97, setting
    log_p = log_probabilities(scores, 0.5)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("of", CLASSICAL, ids=lambda of: of.name)
def test_the_temperature_is_that_of_the_examples(of: Classical) -> None:
    """On classes that overlap answers are less sure than on classes that do not."""
    chosen = []
    for apart in (1.5, 8.0):
        supports = [blobs(i, 3, 3, apart) for i in range(4)]
        queries = [blobs(10 + i, 3, 30, apart) for i in range(4)]
        setting, temperature = choose(of, supports, queries, [3] * len(supports))
        assert setting in of.settings and temperature in TEMPERATURES
        p = [
            np.exp(log_probabilities(of.scores(*s, 3, q[0], setting), temperature)).max(1).mean()
            for s, q in zip(supports, queries, strict=True)
        ]
        chosen.append(np.mean(p))
    assert chosen[0] < 0.9 < chosen[1]


def test_a_class_without_an_example_is_refused() -> None:
    x, y = blobs(0, 2, 3, 5.0)
    svm = CLASSICAL[-1]
    with pytest.raises(ValueError, match="2 of 3 classes"):
        svm.scores(x, y, 3, x, 1.0)
