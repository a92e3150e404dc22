"""Images of all classes: things that differ, and that are no numerals, a hundred of each kind."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import PIL

from mole_jax.tasks.sources import made_up
from mole_jax.tasks.sources.glyphs import fonts
from mole_jax.tasks.sources.image_data import ImageData
from mole_jax.tasks.sources.silhouettes import paint, things
from mole_jax.tasks.sources.silhouettes.copies import copies
from mole_jax.tasks.sources.silhouettes.paint import Views
from mole_jax.tasks.sources.silhouettes.things import Thing

VERSION = 2  # of the pixels: raise it with every change that alters one
UNLIKE = (0.5, 1.3)  # range of how much the things of a class differ
_SEED = 2028  # the images do not depend on a config's seed
# Two blurred shapes are alike from this cosine on; chosen by looking at pairs.
ALIKE = 0.96
LIKE_A_NUMERAL = 0.88


# Each stage of a run asks for the same data set.
@functools.lru_cache(maxsize=2)
def load(side: int) -> ImageData:
    """Load silhouettes of a side; paint them where none are kept."""
    libraries = fonts.freetype_version(), PIL.__version__
    return made_up.load("silhouettes", side, VERSION, libraries, draw)


def draw(side: int, n: int, avoided: np.ndarray) -> dict[str, np.ndarray]:
    """Paint n classes that are like none of the shapes [m, 1024]: see `made_up.images`."""

    def painting(number: int, thing: Thing) -> np.ndarray:
        rng = np.random.default_rng([_SEED, number, 1])
        parts = copies(thing, made_up.IMAGES, rng.uniform(*UNLIKE), rng)
        return paint.images(parts, Views.draw(made_up.IMAGES, rng), side, rng)

    return made_up.images("silhouettes", side, n, different(avoided), painting)


def different(avoided: np.ndarray) -> Iterator[tuple[int, Thing]]:
    """Make up things, each with a number, that look like no earlier one."""
    return made_up.different(_make_up, shape, avoided, ALIKE, LIKE_A_NUMERAL)


def _make_up(number: int) -> Thing:
    return things.make_up(np.random.default_rng([_SEED, number]))


def shape(thing: Thing) -> np.ndarray:
    """Return a blurred picture of a thing as a unit vector [1024]."""
    rng = np.random.default_rng(_SEED)
    parts = copies(thing, 1, 0.0, rng)
    return made_up.shapes(paint.images(parts, Views.plain(), made_up.BOX, rng))[0]
