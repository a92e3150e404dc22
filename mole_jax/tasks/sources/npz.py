"""`npz:FILE`: anyone's arrays, in one file of numpy.savez."""

from __future__ import annotations

import pathlib
import zipfile
import zlib

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.sources.image_data import ImageData, checked


def read(file: str) -> ImageData:
    """Load `image`, `label` and, where it is there, `test` (the official test split) from a file.

    Raises:
        UserError: when it is missing, damaged, or its arrays are not a data set.
    """
    path = pathlib.Path(file).expanduser()
    if not path.is_file():
        raise UserError(
            f"data.source=npz:{path}: no such file; make it with "
            "numpy.savez(FILE, image=..., label=...)"
        )
    try:
        # Opened here, because NumPy leaves a file open whose beginning it cannot read.
        with path.open("rb") as opened:
            stored = np.load(opened, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise UserError(
                    f"{path}: it is one array (npy), not npz; make it with "
                    "numpy.savez(FILE, image=..., label=...)"
                )
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: cannot be read as npz ({error}); make it again") from error
    if missing := [name for name in ("image", "label") if name not in arrays]:
        raise UserError(
            f"{path}: it has no array {missing[0]!r}, only {sorted(arrays)}; "
            "expected image [N, H, W] or [N, H, W, channels] and label [N]"
        )
    label = arrays["label"]
    test = arrays.get("test", np.zeros(label.shape, bool))
    return checked(str(path), path.stem, arrays["image"], label, test)
