"""Baselines that also get warped copies of the support images: variety helps not only MOLE.

The warps are those of `metamodel/networks/warps.py`, here a different one for every copy.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mole_jax.evaluation.baselines.classical import Classical, nearest_neighbour, svm
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.metamodel.networks import warps
from mole_jax.training.learner import Label

Array = NDArray[Any]

STRENGTHS = (0.5, 1.0, 1.5)  # candidates for a classical learner
ADAM = "adam_warped"
ADAM_LABEL = Label(
    "Adam, warped copies",
    "Ordinary training on the support set and on copies of it, each moved, turned, stretched and "
    "slanted a little.",
)
_C = 10.0  # of the SVM: with copies it hardly matters


def with_copies(episodes: EpisodeGrid, shape: tuple[int, ...], copies: int) -> EpisodeGrid:
    """Return episodes whose support sets also hold `copies` warps of each example, of strength 1.

    Leaves of `support` [T, N, n, ...] become [T, N, n * (1 + copies), ...]; copies of masked
    examples are masked, too.
    """
    inputs, labels, mask = (np.asarray(x) for x in episodes.support[:3])
    flat = inputs.reshape(-1, *inputs.shape[2:])
    more = np.stack([copied(x, shape, copies, 1.0) for x in flat])
    labels, mask = (
        np.concatenate([x, np.repeat(x, copies, axis=2)], axis=2) for x in (labels, mask)
    )
    enlarged = {"inputs": more.reshape(*labels.shape, -1), "labels": labels, "mask": mask}
    return dataclasses.replace(episodes, support=episodes.support._replace(**enlarged))  # type: ignore[arg-type]


def copied(x: Array, shape: tuple[int, ...], copies: int, strength: float) -> Array:
    """Return images [n, F] and warped copies of each, image by image: [n * (1 + copies), F]."""
    height, width, _ = shape
    sizes = np.random.default_rng(0).normal(size=(len(x) * copies, warps.N_SIZES)) * strength
    along_rows, along_columns = warps.matrices(sizes, height, width)
    images = np.repeat(x.reshape(-1, *shape), copies, axis=0).astype(np.float32)
    moved = np.matmul(along_rows, images)  # [n, H, W, W] with [n, H, W, C]
    moved = np.matmul(along_columns, moved.swapaxes(1, 2)).swapaxes(1, 2)
    return np.concatenate([x, moved.reshape(-1, x.shape[1])])


def classical(shape: tuple[int, ...], copies: int) -> tuple[Classical, ...]:
    """Return the classical learners that gain most from copies; their setting is the strength."""

    def nearest(x: Array, y: Array, k: int, query: Array, strength: float) -> Array:
        return nearest_neighbour(*_many(x, y, strength), k, query, 1.0)

    def machine(x: Array, y: Array, k: int, query: Array, strength: float) -> Array:
        return svm(*_many(x, y, strength), k, query, _C)

    def _many(x: Array, y: Array, strength: float) -> tuple[Array, Array]:
        return copied(x, shape, copies, strength), np.concatenate([y, np.repeat(y, copies)])

    text = " on the support set and warped copies of it."
    return (
        Classical(
            "nearest_neighbour_warped",
            Label("1-NN, warped copies", "The nearest neighbour" + text),
            STRENGTHS,
            nearest,
        ),
        Classical(
            "svm_warped",
            Label("SVM, warped copies", "An SVM with an RBF kernel" + text),
            STRENGTHS,
            machine,
        ),
    )
