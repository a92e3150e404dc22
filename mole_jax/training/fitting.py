"""Fitting a representation to a sample of a zoo's training runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mole_jax import representation
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks.networks import Network
from mole_jax.training import data
from mole_jax.training.data import TrainingRuns

# Most networks that a latent is fitted to: with 100,000 parameters each they take 0.8 GB.
MOST = 2048


def fit(config: Mapping[str, Any], network: Network, runs: TrainingRuns) -> tuple[Fitted, str]:
    """Fit the representation of a config, and return the result and a line for the log.

    Raises:
        UserError: where there are too few runs.
    """
    kind = representation.latent(config)
    if kind is None:
        arrays = {} if runs.basis is None else {representation.BASIS: runs.basis}
        return Fitted(runs.normaliser, arrays), ""
    normaliser = Normaliser(*(np.asarray(x) for x in runs.normaliser))
    starts = None
    if representation.one_basis(config):
        starts = np.asarray(normaliser.normalise(data.initial_networks(network)))
    arrays, line = kind.fit(config["representation"], network, sample(runs, normaliser), starts)
    return Fitted(runs.normaliser, arrays), line


def sample(runs: TrainingRuns, normaliser: Normaliser, most: int = MOST) -> np.ndarray:
    """Return up to `most` snapshots, normalised: [R', S', D] float32, each run's first one first.

    They come from all runs, or from as many as fit, evenly spaced; they do not depend on where the
    zoo is kept.
    """
    n_runs, n_snapshots = runs.arrays.metric.shape
    of_each = int(np.clip(most // n_runs, 2, n_snapshots))
    chosen = _evenly(n_runs, most // of_each)
    snapshots = _evenly(n_snapshots, of_each)
    if runs.arrays.parameters is not None:  # normalised already
        return np.asarray(runs.arrays.parameters)[chosen][:, snapshots]
    found = np.empty((len(chosen), len(snapshots), runs.zoo.schema.spec.size), np.float32)
    blocks = runs.zoo.blocks(runs.runs[chosen]) if runs.kept is None else [runs.kept[chosen]]
    done = 0
    for block in blocks:
        part = found[done : done + len(block)]
        part[:] = block[:, snapshots]
        part -= normaliser.mean
        part /= normaliser.scale
        done += len(block)
    return found


def _evenly(n: int, most: int) -> np.ndarray:
    """Return up to `most` of n indices, evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))
