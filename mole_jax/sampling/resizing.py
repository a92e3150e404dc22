"""Images of another size, made as large as networks take them."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import given
from mole_jax.core.errors import UserError

PIECE = 4096  # images at once


def resized(name: str, x: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return images [m, *shape] of images of any size, on the same scale of pixels.

    Smaller ones by linear interpolation; larger ones by weighted means (the triangle filter of
    `jax.image.resize`). Other proportions are stretched.

    Args:
        name: what the images are called where they are refused.
        x: [m, H, W] or [m, H, W, channels]; or flat, [m, H * H * channels], of square ones.
        shape: height, width and channels.

    Raises:
        UserError: for what are no such images, and for other channels.
    """
    images = given.floats(name, x)
    channels = shape[-1]
    if images.ndim == 2:
        side = math.isqrt(images.shape[1] // channels)
        if side * side * channels != images.shape[1]:
            raise UserError(
                f"{name}: {images.shape[1]} numbers are no square image of {channels} channels: "
                "give [m, H, W, channels]"
            )
        images = images.reshape(-1, side, side, channels)
    if images.ndim == 3 and channels == 1:
        images = images[..., None]
    if len(shape) != 3 or images.ndim != 4 or images.shape[-1] != channels or 0 in images.shape[1:]:
        text = f"{name} has the shape {list(images.shape)}; expected images [m, H, W, {channels}]"
        raise UserError(text + colour(images.shape[1:], shape))
    pieces = [np.zeros((0, *shape), np.float32)]
    for i in range(0, len(images), PIECE):
        piece = jnp.asarray(images[i : i + PIECE])
        pieces.append(np.asarray(jax.image.resize(piece, (len(piece), *shape), "linear")))
    return np.concatenate(pieces)


def colour(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Say how images in colour become grey ones, where that is what is wrong; else ""."""
    if len(found) == 3 and len(wanted) == 3 and wanted[-1] == 1 and found[-1] in (3, 4):
        grey = "x.mean(-1)" if found[-1] == 3 else "x[..., :3].mean(-1)"
        return f": they are in colour, and networks take grey ones: {grey}"
    return ""
