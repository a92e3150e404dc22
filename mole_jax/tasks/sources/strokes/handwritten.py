"""Images of all classes: characters that differ, and that are no numerals, drawn by many hands."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from mole_jax.tasks.sources import made_up
from mole_jax.tasks.sources.glyphs import fonts
from mole_jax.tasks.sources.image_data import ImageData
from mole_jax.tasks.sources.strokes import characters, hands, pens
from mole_jax.tasks.sources.strokes.characters import Character
from mole_jax.tasks.sources.strokes.pens import Pens

VERSION = 1  # of the pixels: raise it with every change that alters one
CARELESS = (0.4, 1.2)  # range of how careless the hands of a class are
_SEED = 2027  # the images do not depend on a config's seed
# Two blurred shapes are alike from this cosine on; chosen by looking at pairs.
ALIKE = 0.92
LIKE_A_NUMERAL = 0.88


# Each stage of a run asks for the same data set.
@functools.lru_cache(maxsize=2)
def load(side: int) -> ImageData:
    """Load strokes of a side; draw them where none are kept."""
    return made_up.load("strokes", side, VERSION, fonts.freetype_version(), draw)


def draw(side: int, n: int, avoided: np.ndarray) -> dict[str, np.ndarray]:
    """Draw n classes that are like none of the shapes [m, 1024]: see `made_up.images`."""

    def by_hands(number: int, character: Character) -> np.ndarray:
        rng = np.random.default_rng([_SEED, number, 1])
        curves = hands.write(character, made_up.IMAGES, rng.uniform(*CARELESS), rng)
        return pens.images(curves, Pens.draw(made_up.IMAGES, rng), side)

    return made_up.images("strokes", side, n, different(avoided), by_hands)


def different(avoided: np.ndarray) -> Iterator[tuple[int, Character]]:
    """Make up characters, each with a number, that look like no earlier one."""
    return made_up.different(_make_up, shape, avoided, ALIKE, LIKE_A_NUMERAL)


def _make_up(number: int) -> Character:
    return characters.make_up(np.random.default_rng([_SEED, number]))


def shape(character: Character) -> np.ndarray:
    """Return a blurred drawing of a character as a unit vector [1024]."""
    curves = [hands.through(stroke[None]) for stroke in character]
    return made_up.shapes(pens.images(curves, Pens.plain(), made_up.BOX))[0]
