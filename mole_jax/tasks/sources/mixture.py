"""`A+B`: several data sets with images of one shape, as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.sources.image_data import ImageData


def join(parts: Sequence[ImageData]) -> ImageData:
    """Put data sets one after the other; the classes of each come after those before it.

    Pixels stay as they are: uint8 where all parts are uint8, float32 otherwise. Only parts that are
    known to differ in their white (16 in digits, 255 in glyphs) are scaled to the largest one:
    otherwise one part would be almost black to a network trained on the other. The name is the
    parts' names joined by "+", and each part keeps its official test set.

    Args:
        parts: at least one data set.

    Raises:
        UserError: when the images differ in shape, or two parts have one name.
    """
    first, *others = parts
    names = [part.name for part in parts]
    for part in others:
        shape, first_shape = part.images.shape[1:], first.images.shape[1:]
        if shape != first_shape:
            raise UserError(
                f"data.source={'+'.join(names)}: images of {first.name} are {first_shape} (height, "
                f"width, channels), those of {part.name} {shape}; bring them to one shape, such as "
                "in an npz file"
            )
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(
            f"data.source: two parts are named {twice[0]!r}, so that their classes could not be "
            "distinguished; leave one out, or rename its folder or file"
        )
    before = np.cumsum([0, *(part.n_classes for part in parts)])  # classes before each part
    all_bytes = all(part.images.dtype == np.uint8 for part in parts)
    dtype = np.uint8 if all_bytes else np.float32
    whites = [part.white for part in parts if part.white is not None]
    white = max(whites, default=None)
    return ImageData(
        name="+".join(names),
        images=np.concatenate(
            [_brought_to(white, part).astype(dtype, copy=False) for part in parts]
        ),
        labels=np.concatenate(
            [part.labels + np.int32(n) for part, n in zip(parts, before, strict=False)]
        ),
        n_classes=int(before[-1]),
        official_test=np.concatenate([part.official_test for part in parts]),
        class_source=np.repeat(
            np.arange(len(parts), dtype=np.int32), [part.n_classes for part in parts]
        ),
        sources=tuple(names),
        class_names=tuple(
            name
            for part in parts
            for name in part.class_names or (f"{part.name} {k}" for k in range(part.n_classes))
        ),
        white=white if len(whites) == len(parts) else None,
    )


def _brought_to(white: float | None, part: ImageData) -> np.ndarray:
    """Return a part's images on the scale that ends at `white`, where the part's own is known."""
    if white is None or part.white in (None, white):
        return part.images
    scaled = part.images * np.float32(white / part.white)
    return np.round(scaled).astype(np.uint8) if part.images.dtype == np.uint8 else scaled
