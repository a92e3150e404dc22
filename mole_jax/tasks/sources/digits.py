"""`digits`: scikit-learn's 1,797 8x8 images of digits, embedded in the package."""

from __future__ import annotations

import numpy as np

from mole_jax.tasks.sources.image_data import ImageData, checked


def read() -> ImageData:
    """Load the digits: images [1797, 8, 8, 1] with values 0..16, ten classes, no official test."""
    from sklearn import datasets  # slow to import, and needed by this source alone

    images, labels = datasets.load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype(np.uint8)
    names = tuple(map(str, range(10)))
    return checked("digits", "digits", images, labels, None, class_names=names, white=16.0)
