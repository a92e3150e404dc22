"""Images of all classes: things that differ, and that are no numerals, a hundred of each kind."""

from __future__ import annotations

import functools

import numpy as np
import PIL

from mole_jax.core.console.progress import Progress
from mole_jax.tasks.sources import drawn, made_up
from mole_jax.tasks.sources.glyphs import fonts
from mole_jax.tasks.sources.image_data import ImageData
from mole_jax.tasks.sources.silhouettes import paint, things
from mole_jax.tasks.sources.silhouettes.copies import copies
from mole_jax.tasks.sources.silhouettes.paint import Views
from mole_jax.tasks.sources.silhouettes.things import Thing

VERSION = 2  # of the pixels: raise it with every change that alters one
CLASSES = 2000
IMAGES = 100  # of each class
UNLIKE = (0.5, 1.3)  # things of a class
_SEED = 2028  # the images do not depend on a config's
# The cosine of two blurred shapes from which they are alike; chosen by looking at pairs.
ALIKE = 0.96
LIKE_A_NUMERAL = 0.88


# Each stage of a run asks for the same data set.
@functools.lru_cache(maxsize=2)
def load(side: int) -> ImageData:
    """Load silhouettes of a side; paint them where none are kept."""
    paths = fonts.of_matplotlib()
    libraries = fonts.freetype_version(), PIL.__version__
    depends_on = (VERSION, CLASSES, libraries, [fonts.digest(p) for p in paths])
    return drawn.load(
        "silhouettes",
        side,
        depends_on,
        lambda: draw(side, CLASSES, made_up.numerals([fonts.pen(path) for path in paths])),
        lambda members: [f"silhouettes {name}" for name in members.tolist()],
    )


def draw(side: int, n: int, avoided: np.ndarray) -> dict[str, np.ndarray]:
    """Paint n classes: `image` uint8 [n * IMAGES, side, side, 1], and `members` [n], their numbers.

    Args:
        side: pixels across an image.
        n: how many.
        avoided: [m, 1024] shapes that no class may be like.
    """
    image, members = np.zeros((n, IMAGES, side, side, 1), np.uint8), []
    chosen = made_up.different(make_up, shape, avoided, ALIKE, LIKE_A_NUMERAL)
    with Progress("silhouettes: images", total=n, unit="classes") as bar:
        for k, (number, thing) in zip(range(n), chosen, strict=False):
            rng = np.random.default_rng([_SEED, number, 1])
            parts = copies(thing, IMAGES, rng.uniform(*UNLIKE), rng)
            image[k] = paint.images(parts, Views.draw(IMAGES, rng), side, rng)[..., None]
            members.append(str(number))
            bar.update()
    return {"image": image.reshape(-1, side, side, 1), "members": np.array(members)}


def make_up(number: int) -> Thing:
    """Make up the thing of a number."""
    return things.make_up(np.random.default_rng([_SEED, number]))


def shape(thing: Thing) -> np.ndarray:
    """Return a blurred picture of a thing as a unit vector [1024]."""
    rng = np.random.default_rng(_SEED)
    parts = copies(thing, 1, 0.0, rng)
    return made_up.shapes(paint.images(parts, Views.plain(), made_up.BOX, rng))[0]
