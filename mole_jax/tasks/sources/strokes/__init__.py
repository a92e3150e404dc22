"""`strokes`: thousands of classes of pen strokes, made up, each drawn by a hundred hands.

A class is a character that nobody uses: a few lines, arcs and turning paths. Its images differ as
people's handwriting does, so that a model learns what a hand may change, and not which letters
there are. Characters that look like numerals are left out. Images are drawn once, which takes
minutes, and kept in the user's cache.
"""

from __future__ import annotations

from mole_jax.tasks.sources import drawn
from mole_jax.tasks.sources.image_data import ImageData


def read(argument: str = "8") -> ImageData:
    """Load strokes: images [N, side, side, 1], 0..255, 100 of each class.

    Args:
        argument: SIDE.

    Raises:
        UserError: for a wrong side.
    """
    side = drawn.side_of("strokes", argument, "strokes:28")
    # Slow to import, and needed by this source alone.
    from mole_jax.tasks.sources.strokes import handwritten

    return handwritten.load(side)
