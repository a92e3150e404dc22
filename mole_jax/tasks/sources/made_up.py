"""Classes that are made up here: none looks like another, and none like a numeral."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from mole_jax.core.console.progress import Progress
from mole_jax.tasks.sources import drawn
from mole_jax.tasks.sources.glyphs import fonts, lookalikes
from mole_jax.tasks.sources.image_data import ImageData

CLASSES = 2000
IMAGES = 100  # of each class
BOX = 32  # pixels across, in which shapes are compared
_BLUR = 2.0  # of these pixels

Class = TypeVar("Class")


def load(
    name: str,
    side: int,
    version: int,
    libraries: object,
    draw: Callable[[int, int, np.ndarray], dict[str, np.ndarray]],
) -> ImageData:
    """Load a source's images; draw them where none are kept.

    Args:
        name: of the source.
        side: pixels across an image.
        version: of the source's pixels.
        libraries: the versions of the libraries that draw.
        draw: side, number of classes and shapes that none may be like -> `images`.
    """
    paths = fonts.of_matplotlib()
    return drawn.load(
        name,
        side,
        (version, CLASSES, libraries, [fonts.digest(path) for path in paths]),
        lambda: draw(side, CLASSES, numerals([fonts.pen(path) for path in paths])),
        lambda members: [f"{name} {number}" for number in members.tolist()],
    )


def images(
    name: str,
    side: int,
    n: int,
    classes: Iterator[tuple[int, Class]],
    draw: Callable[[int, Class], np.ndarray],
) -> dict[str, np.ndarray]:
    """Draw n classes: `image` uint8 [n * IMAGES, side, side, 1], and `members` [n], their numbers.

    Args:
        name: of the source.
        side: pixels across an image.
        n: how many.
        classes: each with its number, as `different` gives them.
        draw: a class and its number -> uint8 [IMAGES, side, side].
    """
    image, members = np.zeros((n, IMAGES, side, side, 1), np.uint8), []
    with Progress(f"{name}: images", total=n, unit="classes") as bar:
        for k, (number, one) in zip(range(n), classes, strict=False):
            image[k, ..., 0] = draw(number, one)
            members.append(str(number))
            bar.update()
    return {"image": image.reshape(-1, side, side, 1), "members": np.array(members)}


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
        alike: the cosine from which two shapes are alike.
        like_avoided: the same, for a shape and an avoided one.
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
