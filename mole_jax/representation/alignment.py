"""Alignment of networks modulo their symmetries: matching, distance, nearest neighbours."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mole_jax.representation import permutation, rotation
from mole_jax.tasks.networks import Network

# Orders and bases are matched in turn; more rounds than this gain little.
ROUNDS = 5
# After all networks are aligned to one, a query is matched again to this many nearest references.
CANDIDATES = 4


class Symmetry(NamedTuple):
    """A change of parameters that leaves the function as it is."""

    orders: list[Any]  # see `permutation.permute`
    turns: list[Any]  # see `rotation.rotate`


def match(network: Network, flat: np.ndarray, reference: np.ndarray) -> list[Symmetry]:
    """Return the symmetries that bring `flat` [D] closest to `reference` [D].

    Exact where a network has one axis of units; else a local optimum of alternating exact steps.
    """
    symmetries: list[Symmetry] = []
    for _ in range(ROUNDS if network.rotations else 1):
        orders = permutation.match(network, flat, reference)
        flat = np.asarray(permutation.permute(network, flat, orders))
        turns = rotation.match(network, flat, reference)
        symmetries.append(Symmetry(orders, turns))
        flat = _rotated(network, flat, turns)
    return symmetries


def apply(network: Network, flat: np.ndarray, symmetries: list[Symmetry]) -> np.ndarray:
    """Return `flat` [D] after the symmetries, one after the other: [D]."""
    for symmetry in symmetries:
        flat = np.asarray(permutation.permute(network, flat, symmetry.orders))
        flat = _rotated(network, flat, symmetry.turns)
    return flat


def _rotated(network: Network, flat: np.ndarray, turns: list[Any]) -> np.ndarray:
    return np.asarray(rotation.rotate(network, flat, turns)) if turns else flat


def align(network: Network, flat: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return `flat` [D], moved by symmetries to where it best matches `reference` [D]."""
    return apply(network, flat, match(network, flat, reference))


def distance(network: Network, a: np.ndarray, b: np.ndarray) -> float:
    """Return the Euclidean distance between two networks modulo symmetries (see `match`)."""
    return float(np.linalg.norm(align(network, a, b) - b))


def nearest(network: Network, query: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the distance of each query [Q, D] to its closest reference [R, D], modulo symmetries.

    Matching every pair would take R times as long. Instead, all networks are aligned to the first
    reference, and each query is matched again only to its nearest CANDIDATES. The result [Q] is an
    upper bound on the true distance.
    """
    middle = reference[0]
    aligned = np.stack([align(network, flat, middle) for flat in reference])
    found = np.empty(len(query))
    for i, flat in enumerate(query):
        own = align(network, flat, middle)
        apart = np.linalg.norm(aligned - own, axis=1)
        close = np.argsort(apart)[:CANDIDATES]
        found[i] = min(apart[close[0]], *(distance(network, own, aligned[j]) for j in close))
    return found
