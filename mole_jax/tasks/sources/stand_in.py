"""Random images of the shape that a known data set has, for when only its size matters."""

from __future__ import annotations

import numpy as np

from mole_jax.tasks.sources.image_data import ImageData, checked

# Images for training and for testing, and the shape of one; all have ten classes.
_SIZES = {
    "mnist": (60_000, 10_000, (28, 28, 1)),
    "fashion_mnist": (60_000, 10_000, (28, 28, 1)),
    "idx": (60_000, 10_000, (28, 28, 1)),  # the MNIST family's files
    "cifar10": (50_000, 10_000, (32, 32, 3)),
    "svhn": (73_257, 26_032, (32, 32, 3)),
}


def of(source: str) -> ImageData | None:
    """Return random images in place of `source`, None for one whose size is not known here."""
    kind = source.partition(":")[0]
    if kind not in _SIZES or "+" in source:
        return None
    n_train, n_test, shape = _SIZES[kind]
    n = n_train + n_test
    images = np.random.default_rng(0).integers(0, 256, (n, *shape), np.uint8)
    test = np.arange(n) >= n_train
    return checked(source, kind, images, np.arange(n) % 10, test)
