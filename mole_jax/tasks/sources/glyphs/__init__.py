"""`glyphs`: thousands of classes, the characters of the fonts that matplotlib ships.

A class is a shape, whatever characters have it: see lookalikes.py. Numerals, and what looks like
them, are left out, so that the digits of any data set are new to a model that was trained on
glyphs. Images are drawn once, which takes minutes, and kept in the user's cache.
"""

from __future__ import annotations

from mole_jax.core.storage.paths import user_path
from mole_jax.tasks.sources import drawn
from mole_jax.tasks.sources.image_data import ImageData


def read(argument: str = "8") -> ImageData:
    """Load glyphs: images [N, side, side, 1], 0..255, 100 of each class.

    Args:
        argument: SIDE or SIDE@FONTDIR, a folder whose .ttf and .otf files are used, too.

    Raises:
        UserError: for a wrong side, and a folder without fonts.
    """
    text, _, folder = argument.partition("@")
    side = drawn.side_of("glyphs", text, "glyphs:28 or glyphs:28@FONTDIR")
    # Slow to import, and needed by this source alone.
    from mole_jax.tasks.sources.glyphs import rendering

    return rendering.load(side, user_path(folder) if folder else None)
