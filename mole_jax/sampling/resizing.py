"""Resizing images to the size that networks take."""

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
    """Resize images of any size to [m, *shape], and keep the scale of pixels.

    Linear interpolation enlarges them; weighted means shrink them (the triangle filter of
    `jax.image.resize`). Other proportions are stretched.

    Args:
        name: of the images, for messages.
        x: [m, H, W] or [m, H, W, channels]; or flat, [m, H * H * channels], of square ones.
        shape: height, width and channels.

    Raises:
        UserError: for anything but such images, and for another number of channels.
    """
    images = given.floats(name, x)
    channels = shape[-1]
    if images.ndim == 2:
        side = math.isqrt(images.shape[1] // channels)
        if side * side * channels != images.shape[1]:
            raise UserError(
                f"{name}: {images.shape[1]} numbers do not make a square image of {channels} "
                "channels: give [m, H, W, channels]"
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
    """Say how to make colour images grey, if that is what is wrong; else ""."""
    if len(found) == 3 and len(wanted) == 3 and wanted[-1] == 1 and found[-1] in (3, 4):
        grey = "x.mean(-1)" if found[-1] == 3 else "x[..., :3].mean(-1)"
        return f": they are in colour, but networks take grey ones: {grey}"
    return ""
