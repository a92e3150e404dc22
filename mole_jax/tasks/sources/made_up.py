"""Classes that are made up here: none looks like another, and none like a numeral."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from mole_jax.tasks.sources.glyphs import fonts, lookalikes

BOX = 32  # pixels across, in which shapes are compared
_BLUR = 2.0  # of these pixels

Class = TypeVar("Class")


def different(
    make_up: Callable[[int], Class],
    shape: Callable[[Class], np.ndarray],
    avoided: np.ndarray,
    alike: float,
    like_avoided: float,
) -> Iterator[tuple[int, Class]]:
    """Make up classes, each with a number, that look like no earlier one.

    Args:
        make_up: a class from its number.
        shape: what it looks like, a unit vector [1024].
        avoided: [m, 1024] shapes that no class may be like.
        alike: the cosine of two shapes from which they are alike.
        like_avoided: the same, of a shape and one that is avoided.
    """
    found, number = np.zeros((0, avoided.shape[1]), np.float32), 0
    while True:
        candidate = make_up(number)
        one = shape(candidate)
        if (found @ one).max(initial=0) < alike and (avoided @ one).max() < like_avoided:
            found = np.concatenate([found, one[None]])
            yield number, candidate
        number += 1


def numerals(opened: Sequence[fonts.Pen]) -> np.ndarray:
    """Return the shapes of the numerals of all fonts: [m, 1024]."""
    found = [fonts.outline(pen, c) for pen in opened for c in fonts.NUMERALS]
    boxes = [lookalikes.boxed(outline) for outline in found if outline is not None]
    return shapes(np.unique(np.stack(boxes), axis=0))


def shapes(boxes: np.ndarray) -> np.ndarray:
    """Blur images [n, 32, 32] and return them as unit vectors [n, 1024]."""
    flat = lookalikes.blurred(boxes, _BLUR)
    return flat / np.sqrt((flat * flat).sum(1, keepdims=True))
