"""Clothes at the size of scikit-learn's digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.tasks import sources

SOURCE = "idx:/usr/share/datasets/fashion-mnist"  # Debian: dataset-fashion-mnist


def small(source: str, file: Path) -> Path:
    """Write a source's images of 28x28 as images of 8x8: means of 4x4 pixels, with a border."""
    if not file.exists():
        data = sources.load(source)
        if data.images.shape[1:] != (28, 28, 1):
            raise UserError(f"--clothes={source}: images {data.images.shape[1:]}, not 28x28 grey")
        wide = np.pad(data.images[..., 0], [(0, 0), (2, 2), (2, 2)])
        means = wide.reshape(-1, 8, 4, 8, 4).mean((2, 4)).round().astype(np.uint8)
        files.write_npz(file, image=means, label=data.labels)
    return file
