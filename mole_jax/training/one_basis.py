"""Bring runs into one basis: corresponding units of two networks get the same index.

Each run is moved by a single symmetry of the network, so its history stays a history: the one that
brings its last snapshot nearest to a common reference. The reference is at first the first run's
last snapshot, then the mean of all last snapshots after the previous round: the matching of many
models of Ainsworth et al. 2023 (Git Re-Basin, algorithm 3), in rounds.
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.representation import alignment, permutation
from mole_jax.tasks.networks import Network

ROUNDS = 2


def align(network: Network, runs: np.ndarray) -> tuple[np.ndarray, str]:
    """Bring runs [R, S, D] into one basis, in place.

    Returns:
        The network [D] that they were matched to, and a line for the log.
    """
    began = time.monotonic()
    _check(network, runs[0, -1])
    before = _spread(runs)
    # Of several sizes, one of the largest.
    sizes = np.count_nonzero(runs[:, -1], axis=1) if network.frame else np.zeros(len(runs))
    common = runs[sizes.argmax(), -1].astype(np.float64)
    for _ in range(ROUNDS):
        for run in runs:
            run[:] = _moved(network, run, common)
        common = _mean(network, runs[:, -1])
    after = _spread(runs)
    return common.astype(np.float32), (
        f"{len(runs):,} runs in one basis, in {time.monotonic() - began:.0f} s: last snapshots are "
        f"{np.sqrt(after / before):.0%} as far from their mean as they were"
    )


def _moved(network: Network, run: np.ndarray, common: np.ndarray) -> np.ndarray:
    """Return a run [S, D] moved so that its last snapshot is nearest to the common network."""
    if network.rotations:
        found = alignment.match(network, run[-1], common)
        return np.stack([alignment.apply(network, flat, found) for flat in run])
    orders = permutation.match(network, run[-1], common)
    moved: np.ndarray = run[:, permutation.permute(network, np.arange(network.spec.size), orders)]
    return moved


def _check(network: Network, flat: np.ndarray) -> None:
    """Raise UserError if the symmetries of a network that somebody added change what it does."""
    key = jax.random.key(0)
    inputs = jax.random.normal(key, (8, network.n_inputs))
    moved = permutation.permute(network, flat, permutation.random_orders(network, key))
    before, after = (
        np.asarray(network.apply(network.spec.unflatten(jnp.asarray(x)), inputs))
        for x in (flat, moved)
    )
    if np.abs(before - after).max() > 0.01 * (1 + np.abs(before).max()):
        raise UserError(
            f"network.name={network.name!r}: reordering its units along the axes of its "
            "symmetries changes its outputs, so representation.align would spoil its runs: correct "
            "its symmetries"
        )


def _mean(network: Network, last: np.ndarray) -> np.ndarray:
    """Return the mean of networks [R, D]; of several sizes, over those that have a parameter."""
    total = last.sum(axis=0, dtype=np.float64)
    there = np.count_nonzero(last, axis=0) if network.frame else len(last)
    return total / np.maximum(there, 1)


def _spread(runs: np.ndarray) -> float:
    last = runs[:, -1].astype(np.float64)
    return float(np.sum((last - last.mean(axis=0)) ** 2))
