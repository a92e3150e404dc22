"""A latent is fitted to a sample of the training runs, that of the whole zoo where it is small."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mole_jax import representation
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks import networks
from mole_jax.training import data, fitting

STORED = np.random.default_rng(0).normal(size=(20, 6, 3)).astype(np.float32)
RUNS = np.arange(3, 17)  # of the zoo, those that are trained on
PLAIN = Normaliser(np.full(3, 0.5, np.float32), np.full(3, 2, np.float32), np.ones(3, np.float32))


def made_up(stored: np.ndarray, normaliser: Normaliser) -> Any:
    """What `TrainingRuns` has of a zoo of runs [R, S, D]."""

    def blocks(rows: np.ndarray) -> Any:
        assert (np.diff(rows) > 0).all()
        return iter([stored[rows[:4]], stored[rows[4:]]])

    spec = SimpleNamespace(size=stored.shape[-1])
    zoo = SimpleNamespace(blocks=blocks, schema=SimpleNamespace(spec=spec))
    arrays = SimpleNamespace(metric=np.zeros((len(RUNS), stored.shape[1])), parameters=None)
    return SimpleNamespace(runs=RUNS, zoo=zoo, arrays=arrays, normaliser=normaliser, kept=None)


@pytest.mark.parametrize(
    ("most", "n_runs", "snapshots"),
    [(1000, 14, range(6)), (50, 14, (0, 2, 5)), (30, 14, (0, 5)), (10, 5, (0, 5))],
)
def test_a_sample_is_of_all_runs_where_they_fit(
    most: int, n_runs: int, snapshots: tuple[int, ...]
) -> None:
    found = fitting.sample(made_up(STORED, PLAIN), PLAIN, most)
    assert found.shape == (n_runs, len(snapshots), 3)
    assert found.shape[0] * found.shape[1] <= most
    training = (STORED[RUNS] - 0.5) / 2
    for run, stored in ((0, 0), (-1, -1)):
        np.testing.assert_allclose(found[run], training[stored][list(snapshots)], rtol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_changes_of_runs_that_share_a_start_are_those_of_fresh_networks(shared: bool) -> None:
    network = networks.build({"name": "mlp", "hidden": (3,)}, (4,), 2)
    each = np.ones(network.spec.size, np.float32)
    stored = np.random.default_rng(0).normal(size=(20, 6, each.size)).astype(np.float32)
    config = {
        "representation": {"name": "pca", "chunk_size": 8, "components": 5},
        "population": {"shared_start": shared},
    }
    fitted, line = fitting.fit(config, network, made_up(stored, Normaliser(0 * each, each, each)))
    assert line.startswith("5 principal components of 84 networks")
    built = representation.build(config, network, fitted)
    if shared:
        away = np.asarray(built.tokens(data.initial_networks(network)))
    else:
        tokens = np.asarray(built.tokens(stored[RUNS]))
        away = (tokens[:, 1:] - tokens[:, :1]).reshape(-1, *tokens.shape[2:])
    np.testing.assert_allclose(built.change, np.sqrt((away**2).mean(0)), rtol=1e-3, atol=1e-6)
