"""`silhouettes`: thousands of classes of made-up things: filled outlines, with surfaces.

Characters are lines. Clothes, leaves and vases are areas: their outline, their parts, and the
brightness and pattern of each part show what they are. In some classes all things have one surface,
in others each has its own: the examples show whether it counts. Things that look like numerals are
left out. Images are drawn once, and kept in the user's cache.
"""

from __future__ import annotations

from mole_jax.tasks.sources import drawn
from mole_jax.tasks.sources.image_data import ImageData


def read(argument: str = "8") -> ImageData:
    """Load silhouettes: images [N, side, side, 1], 0..255, 100 of each class.

    Args:
        argument: SIDE.

    Raises:
        UserError: for a wrong side.
    """
    side = drawn.side_of("silhouettes", argument, "silhouettes:28")
    # Slow to import, and needed by this source alone.
    from mole_jax.tasks.sources.silhouettes import painted

    return painted.load(side)
