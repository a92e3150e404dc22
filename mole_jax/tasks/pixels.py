"""Statistics of the pixels that an experiment trains on."""

from __future__ import annotations

import numpy as np

from mole_jax.tasks.family import TaskFamily
from mole_jax.tasks.images import ImageFamily

_AT_ONCE = 1024  # images whose pixels are in memory as float64


def of_training(family: TaskFamily) -> tuple[np.ndarray, np.ndarray] | None:
    """Return every pixel's mean and standard deviation, [F] each, on the source's own scale.

    Over the training pool of the classes that are trained on; None where tasks have no images.
    """
    if not isinstance(family, ImageFamily):
        return None
    seen = sorted({k for s in family.subsets if s.split == "train" for k in s.classes})
    table = family.pools["train"]
    return per_pixel(family.images, table.indices[seen][table.mask[seen]])


def per_pixel(images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every pixel's mean and standard deviation, float32 [F] each, over rows of images."""
    flat = images.reshape(len(images), -1)
    origin = flat[rows[0]].astype(np.float64)  # sums of differences from it lose fewer digits
    total, squares = np.zeros_like(origin), np.zeros_like(origin)
    for first in range(0, len(rows), _AT_ONCE):
        apart = flat[rows[first : first + _AT_ONCE]] - origin
        total += apart.sum(axis=0)
        squares += np.einsum("nf,nf->f", apart, apart)
    mean = total / len(rows)
    std = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0.0))
    return (origin + mean).astype(np.float32), std.astype(np.float32)
