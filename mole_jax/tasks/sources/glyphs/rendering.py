"""Images of all classes: drawn once, and kept in the user's cache."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mole_jax.core.console.progress import Progress
from mole_jax.core.errors import UserError
from mole_jax.tasks.sources import drawn
from mole_jax.tasks.sources.glyphs import drawing, fonts, lookalikes
from mole_jax.tasks.sources.image_data import ImageData

VERSION = 4  # of the pixels: raise it with every change that alters one
IMAGES = 100  # of each class
FACES = 16  # of each class, at most: fonts and characters its images are drawn from
_SEED = 2026  # the images do not depend on a config's seed


# Each stage of a run asks for the same data set.
@functools.lru_cache(maxsize=2)
def load(side: int, folder: Path | None) -> ImageData:
    """Load glyphs of a side, with the fonts of a folder, too; draw them where none are kept."""
    paths = [*fonts.of_matplotlib(), *(fonts.of_folder(folder) if folder else ())]
    depends_on = (VERSION, fonts.freetype_version(), [fonts.digest(path) for path in paths])
    return drawn.load(
        "glyphs",
        side,
        depends_on,
        lambda: draw([fonts.open_font(font) for font in paths], side),
        lambda members: [f"U+{ord(name[0]):04X} {name[0]}" for name in members.tolist()],
    )


def draw(opened: Sequence[fonts.Font], side: int) -> dict[str, np.ndarray]:
    """Draw all classes: `image` uint8 [K * IMAGES, side, side, 1], and `members` [K] of each.

    A class's images depend on its first character alone, not on the other classes.
    """
    characters = fonts.shared(opened)
    if not characters:
        raise UserError(
            f"data.source=glyphs: no character is in {fonts.FEWEST_FONTS} fonts; give other fonts"
        )
    with Progress("glyphs: shapes", total=len(opened), unit="fonts") as bar:
        outlines: list[dict[str, np.ndarray]] = []
        for font in opened:
            pen = fonts.pen(font.path)
            found = {c: fonts.outline(pen, c) for c in sorted(font.characters)}
            outlines.append({c: outline for c, outline in found.items() if outline is not None})
            bar.update()
    characters = [c for c in characters if any(c in of_font for of_font in outlines)]
    members = lookalikes.classes(characters, outlines, side)
    image = np.zeros((len(members), IMAGES, side, side, 1), np.uint8)
    with Progress("glyphs: images", total=len(members), unit="classes") as bar:
        for k, name in enumerate(members):
            rng = np.random.default_rng([_SEED, ord(name[0])])
            faces = _faces(name, outlines, rng)
            shares = np.bincount(np.arange(IMAGES) % len(faces))
            parts = [
                drawing.images(drawing.field(face, side), n, side, rng)
                for face, n in zip(faces, shares, strict=True)
            ]
            image[k] = rng.permutation(np.concatenate(parts))[..., None]
            bar.update()
    return {"image": image.reshape(-1, side, side, 1), "members": np.array(members)}


def _faces(
    name: str, outlines: Sequence[lookalikes.Outlines], rng: np.random.Generator
) -> list[np.ndarray]:
    """Return a class's outlines, at most `FACES`, no two of them the same."""
    found = [of_font[c] for c in name for of_font in outlines if c in of_font]
    different = {(x.shape, x.tobytes()): x for x in found}
    faces = list(different.values())
    return [faces[i] for i in rng.permutation(len(faces))[:FACES]]
