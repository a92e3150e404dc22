"""Augmentation of support images, a different one in each inner step: affine warps.

Ordinary training on few images gains from augmentation, and so do gradient steps on a few support
examples. The warps are drawn once and for all, and each step applies the same one to all images. So
a prediction stays a function of its inputs, and does not depend on the order of examples.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

# Standard deviations of what a warp of strength 1 does; shifts are in units of the image's side.
SHIFT, SCALE, TURN, SLANT = 0.04, 0.08, 0.12, 0.1
N_SIZES = 6  # numbers that make a warp
PLAIN = 1 / 3  # share of the steps, the last ones, without a warp
SMALL = 100  # up to this many pixels, one product is faster than two


def varied(images: jax.Array, shape: tuple[int, ...], strength: float, n_steps: int) -> jax.Array:
    """Return the images that each inner step sees: [B, n, F] -> [steps, B, n, F].

    Args:
        images: of the support set, flat.
        shape: of an image, [H, W, channels].
        strength: of the warps: 1 moves images of 8x8 pixels by about a third of a pixel.
        n_steps: inner steps.
    """
    height, width, _ = shape
    batch, n, _ = images.shape
    warped = n_steps - round(PLAIN * n_steps)
    along_rows, along_columns = of_steps(shape, strength, n_steps)
    along_rows, along_columns = along_rows[:warped], along_columns[:warped]
    x = images.reshape(batch, n, *shape)
    if height * width <= SMALL:
        both = np.einsum("shvw,svgh->svghw", along_rows, along_columns)
        x = jnp.einsum("bnhwc,svghw->sbngvc", x, both)
    else:  # along rows first, then along columns (Catmull & Smith 1980): two small products
        x = jnp.einsum("bnhwc,shvw->sbnhvc", x, along_rows)
        x = jnp.einsum("sbnhvc,svgh->sbngvc", x, along_columns)
    plain = jnp.broadcast_to(images, (n_steps - warped, *images.shape))
    return jnp.concatenate([x.reshape(warped, batch, n, -1), plain])


def moved(
    images: jax.Array, shape: tuple[int, ...], along_rows: jax.Array, along_columns: jax.Array
) -> jax.Array:
    """Return flat images [n, F] of a shape [H, W, channels] after one of the warps: [n, F]."""
    x = images.reshape(-1, *shape)
    x = jnp.einsum("nhwc,hvw->nhvc", x, along_rows)
    x = jnp.einsum("nhvc,vgh->ngvc", x, along_columns)
    return x.reshape(images.shape)


def of_steps(shape: tuple[int, ...], strength: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a warp for each of n steps; the last third move nothing.

    They come in opposite pairs, so on average they move nothing.

    Args:
        shape: of an image, [H, W, channels].
        strength: of the warps.
        n: steps.

    Returns:
        Matrices along rows [n, H, W, W] and along columns [n, W, H, H].
    """
    drawn = np.random.default_rng(0).normal(size=(-(-n // 2), N_SIZES)) * strength
    sizes = np.stack([drawn, -drawn], axis=1).reshape(-1, N_SIZES)[:n]
    sizes[n - round(PLAIN * n) :] = 0
    return matrices(sizes, *shape[:2])


def matrices(sizes: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return warps as matrices along rows [n, H, W, W] and along columns [n, W, H, H].

    Args:
        sizes: [n, N_SIZES] normal numbers times the strength: width, height, shift right, shift
            down, turn and slant.
        height: of an image, in pixels.
        width: the same.
    """
    y, x = (np.arange(side) - (side - 1) / 2 for side in (height, width))
    wider, higher, right, down, turn, slant = (sizes[:, i, None, None] for i in range(N_SIZES))
    turn, slant = TURN * turn, SLANT * slant
    columns = x * (1 + SCALE * wider) + (slant - turn) * y[:, None] + SHIFT * width * right
    rows = y * (1 + SCALE * higher) + (slant + turn) * x[:, None] + SHIFT * height * down
    return _linear(columns, x), _linear(rows, y)


def _linear(at: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return weights of linear interpolation at places [..., n]: [..., n, pixels]."""
    inside = np.clip(at, places[0], places[-1])  # beyond the border, the border
    return np.maximum(0, 1 - np.abs(inside[..., None] - places)).astype(np.float32)
