"""`idx:DIR`: the MNIST family's four IDX files, raw or gzipped."""

from __future__ import annotations

import gzip
import math
import pathlib
import zlib

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage.paths import user_path
from mole_jax.tasks.sources.image_data import ImageData, checked

_UBYTE = 0x08
_GZIP = b"\x1f\x8b"
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read(folder_name: str) -> ImageData:
    """Load the four files of a folder; its name is the data set's, its t10k the official test.

    Raises:
        UserError: when a file is missing or damaged, or they are not of one data set.
    """
    folder = user_path(folder_name)
    if not folder.is_dir():
        raise UserError(
            f"data.source=idx:{folder}: no such folder; it should hold "
            f"{', '.join(name for pair in _FILES.values() for name in pair)} (or .gz). "
            "Debian has Fashion-MNIST: apt-get install dataset-fashion-mnist"
        )
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    test: list[np.ndarray] = []
    for part, (image_name, label_name) in _FILES.items():
        image, label = read_idx(_find(folder, image_name)), read_idx(_find(folder, label_name))
        if image.ndim != 3 or label.ndim != 1 or len(image) != len(label) or not len(label):
            raise UserError(
                f"{folder}: {image_name} {image.shape} and {label_name} {label.shape} do not "
                "belong together; expected [N, H, W] and [N] with N > 0"
            )
        if images and image.shape[1:] != images[0].shape[1:]:
            raise UserError(
                f"{folder}: {image_name} has images of {image.shape[1:]} pixels, those for "
                f"training have {images[0].shape[1:]}; the four files are not of one data set"
            )
        images.append(image)
        labels.append(label)
        test.append(np.full(len(label), part == "test"))
    name = folder.resolve().name  # "idx:." has a name, too
    return checked(
        str(folder),
        name,
        np.concatenate(images)[..., None],
        np.concatenate(labels),
        np.concatenate(test),
    )


def _find(folder: pathlib.Path, name: str) -> pathlib.Path:
    # Some programs take "-idx3-ubyte" for a suffix, and unpack it with a dot.
    for stem in (name, name.replace("-idx", ".idx")):
        for candidate in (folder / stem, folder / f"{stem}.gz"):
            if candidate.is_file():
                return candidate
    raise UserError(f"{folder}: neither {name} nor {name}.gz is there")


def read_idx(path: pathlib.Path) -> np.ndarray:
    """Read one IDX file of unsigned bytes (format: yann.lecun.com/exdb/mnist), raw or gzipped.

    Raises:
        UserError: when it is not an IDX file of bytes, or is cut short.
    """
    try:
        data = path.read_bytes()
        if data[:2] == _GZIP:  # the name does not matter
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}); fetch it again") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UBYTE:
        raise UserError(f"{path}: not an IDX file of unsigned bytes")
    header = 4 + 4 * data[3]
    if len(data) < header:
        raise UserError(f"{path}: its header is cut short; fetch it again")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", count=data[3], offset=4))
    expected = math.prod(shape)
    if len(data) != header + expected:
        raise UserError(
            f"{path}: {len(data) - header} bytes of data, its header announces {expected} "
            f"for {shape}; fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
