"""Sources whose images MOLE draws itself: once, and keeps in the user's cache."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import cache_folder
from mole_jax.tasks.sources import npz
from mole_jax.tasks.sources.image_data import ImageData, checked

SIDES = (6, 64)  # pixels across an image, at least and at most


def side_of(source: str, argument: str, example: str) -> int:
    """Return the side that a source's name asks for; raises UserError for another."""
    low, high = SIDES
    whole = argument.isascii() and argument.isdecimal() and len(argument) < 10
    if not (whole and low <= int(argument) <= high):
        raise UserError(
            f"data.source={source}:SIDE: SIDE is {argument[:60]!r}, it must be a whole number, "
            f"{low} to {high}, of pixels across an image, as in {example}"
        )
    return int(argument)


def load(
    name: str,
    side: int,
    depends_on: object,
    draw: Callable[[], dict[str, np.ndarray]],
    names: Callable[[np.ndarray], Sequence[str]],
) -> ImageData:
    """Load a source's images; draw them where none are kept.

    Args:
        name: of the source.
        side: pixels across an image.
        depends_on: what the pixels depend on besides the side; its repr is hashed.
        draw: returns `image` uint8 [K * n, side, side, 1], class by class, and `members` [K] str.
        names: `members` -> what people call each class.
    """
    key = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:16]
    path = cache_folder() / f"{name}-{side}-{key}.npz"
    arrays = _kept(name, path)
    if arrays is None:
        arrays = draw()
        try:
            with files.writing(path) as file:
                np.savez(file, allow_pickle=False, **arrays)
        except UserError as problem:
            print(f"{name}: drawn, but not kept for the next time: {problem}", file=sys.stderr)
    members, image = arrays["members"], arrays["image"]
    data = checked(
        name,
        name,
        image,
        np.repeat(np.arange(len(members)), len(image) // len(members)),
        None,
        class_names=tuple(names(members)),
        white=255.0,
    )
    data.images.setflags(write=False)  # all callers share it
    data.labels.setflags(write=False)
    return data


def _kept(name: str, path: Path) -> dict[str, np.ndarray] | None:
    """Read what was drawn before; None where that is not there, or damaged."""
    if not path.exists():
        return None
    try:
        return npz.read_arrays(path, ("image", "members"))
    except UserError as problem:
        print(f"{name}: drawn again, because {problem}", file=sys.stderr)
        return None
