"""A latent is fitted to a sample of the training runs, that of the whole zoo where it is small."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mole_jax.representation.normalise import Normaliser
from mole_jax.training import fitting

STORED = np.random.default_rng(0).normal(size=(20, 6, 3)).astype(np.float32)
RUNS = np.arange(3, 17)  # of the zoo, those that are trained on
PLAIN = Normaliser(np.full(3, 0.5, np.float32), np.full(3, 2, np.float32), np.ones(3, np.float32))


def sample(most: int) -> np.ndarray:
    def blocks(rows: np.ndarray) -> Any:
        assert (np.diff(rows) > 0).all()
        return iter([STORED[rows[:4]], STORED[rows[4:]]])

    zoo = SimpleNamespace(blocks=blocks, schema=SimpleNamespace(spec=SimpleNamespace(size=3)))
    arrays = SimpleNamespace(metric=np.zeros((len(RUNS), 6)))
    runs: Any = SimpleNamespace(runs=RUNS, zoo=zoo, arrays=arrays)
    return fitting.sample(runs, PLAIN, most)


@pytest.mark.parametrize(
    ("most", "n_runs", "snapshots"),
    [(1000, 14, range(6)), (50, 14, (0, 2, 5)), (30, 14, (0, 5)), (10, 5, (0, 5))],
)
def test_a_sample_is_of_all_runs_where_they_fit(
    most: int, n_runs: int, snapshots: tuple[int, ...]
) -> None:
    found = sample(most)
    assert found.shape == (n_runs, len(snapshots), 3)
    assert found.shape[0] * found.shape[1] <= most
    training = (STORED[RUNS] - 0.5) / 2
    for run, stored in ((0, 0), (-1, -1)):
        np.testing.assert_allclose(found[run], training[stored][list(snapshots)], rtol=1e-6)
