"""`npz:FILE`: anyone's arrays, in one file of numpy.savez."""

from __future__ import annotations

import pathlib
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage.paths import user_path
from mole_jax.tasks.sources.image_data import ImageData, checked

_CHANNELS = (1, 3, 4)  # of grey images, in colour, with transparency
_ZIP, _NPY = b"PK", b"\x93NUMPY"
# What a damaged file may raise in NumPy and zipfile.
_DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, SyntaxError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
_MAKE = "make it with numpy.savez(FILE, image=..., label=...)"


def read(file: str) -> ImageData:
    """Load `image`, `label` and, where it is there, `test` (the official test set) from a file.

    Raises:
        UserError: when it is missing, damaged, or its arrays are not a data set.
    """
    path = user_path(file)
    if not path.is_file():
        raise UserError(f"data.source=npz:{path}: no such file; {_MAKE}")
    arrays = read_arrays(path, ("image", "label"), ("test",))
    image = arrays["image"]
    if image.ndim == 4 and image.shape[1] in _CHANNELS and image.shape[3] not in _CHANNELS:
        raise UserError(
            f"{path}: image {image.shape} seems to have its channels first; they come last, "
            "[N, H, W, channels]: store image.transpose(0, 2, 3, 1)"
        )
    return checked(str(path), path.stem, image, arrays["label"], arrays.get("test"))


def read_arrays(
    path: pathlib.Path, needed: Sequence[str], others: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Read some arrays of a file of numpy.savez, and leave the rest of it alone.

    Args:
        path: of the file.
        needed: the arrays that have to be there.
        others: arrays to read where they are there.

    Raises:
        UserError: when it cannot be read, is another kind of file, lacks one, or one holds objects.
    """
    found: dict[str, np.ndarray] = {}
    try:
        # Opened here, because NumPy leaves a file open if it cannot read its beginning.
        with path.open("rb") as opened:
            head = opened.read(len(_NPY))
            if head == _NPY:
                raise UserError(f"{path}: it is one array (npy), not npz; {_MAKE}")
            if not head.startswith(_ZIP):  # NumPy would take it for a pickle
                page = ", it begins like a web page" if head.lstrip().startswith(b"<") else ""
                raise UserError(f"{path}: it is not an npz file{page}; {_MAKE}")
            opened.seek(0)
            stored = np.load(opened, allow_pickle=False)
            if missing := [name for name in needed if name not in stored.files]:
                raise UserError(
                    f"{path}: it has no array {missing[0]!r}, only {sorted(stored.files)}; {_MAKE}"
                )
            for name in (*needed, *(name for name in others if name in stored.files)):
                found[name] = _array(path, name, stored)
    except _DAMAGE as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as npz ({problem}); make it again") from error
    return found


def _array(path: pathlib.Path, name: str, stored: Any) -> np.ndarray:
    try:
        array = stored[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):  # NumPy's advice, which is unsafe
            raise
        array = None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: the array {name!r} holds Python objects; store numbers")
    return array
