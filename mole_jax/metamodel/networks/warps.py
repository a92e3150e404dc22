"""Support images seen a little differently at each inner step: moved, turned, stretched, slanted.

Ordinary training on few images gains by such variety, and so do steps along the gradient of a few
support examples. The warps are drawn once and for all: a prediction stays a function of its inputs.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

BANK = 16  # warps, of which the first changes nothing
# Standard deviations, in units of the image's side, of what a warp of strength 1 does.
SHIFT, SCALE, TURN, SLANT = 0.04, 0.08, 0.12, 0.1
PLAIN = 1 / 3  # share of the steps, the last ones, that see the images as they are


def varied(
    images: jax.Array, shape: tuple[int, ...], strength: float, n_steps: int
) -> jax.Array:
    """Return the images that each inner step sees: [B, n, F] -> [steps, B, n, F].

    Args:
        images: of the support set, flat.
        shape: of an image, [H, W, channels].
        strength: of the warps: 1 moves digits of 8x8 pixels by a third of a pixel.
        n_steps: inner steps.
    """
    batch, n, _ = images.shape
    height, width, channels = shape
    rows, columns = _bank(height, width, strength)
    x = images.reshape(batch, n, *shape)
    # Along rows first, then along columns (Catmull & Smith 1980): two small products.
    x = jnp.einsum("bnhwc,rhvw->rbnhvc", x, rows)
    x = jnp.einsum("rbnhvc,rvgh->rbngvc", x, columns).reshape(BANK, batch, n, -1)
    which = np.random.default_rng(1).integers(BANK, size=(n_steps, n))
    which[n_steps - round(PLAIN * n_steps) :] = 0
    return jnp.moveaxis(x[which[:, :], :, np.arange(n)[None]], 2, 1)


def _bank(height: int, width: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what each warp does along rows [R, H, W, W] and along columns [R, W, H, H]."""
    rng = np.random.default_rng(0)
    y, x = (np.arange(side) - (side - 1) / 2 for side in (height, width))
    rows, columns = [], []
    for i in range(BANK):
        size = strength * (i > 0) * rng.normal(size=7)
        turn, slant = TURN * size[4], SLANT * size[5]
        across = x[None] * (1 + SCALE * size[0]) + (slant - turn) * y[:, None]  # [H, W]
        down = y[None] * (1 + SCALE * size[1]) + (slant + turn) * x[:, None]  # [W, H]
        rows.append(_linear(across + SHIFT * width * size[2], x))
        columns.append(_linear(down + SHIFT * height * size[3], y))
    return np.stack(rows).astype(np.float32), np.stack(columns).astype(np.float32)


def _linear(at: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return weights of linear interpolation: [..., n] places asked for -> [..., n, pixels]."""
    inside = np.clip(at, places[0], places[-1])  # beyond the border, the border
    return np.maximum(0, 1 - np.abs(inside[..., None] - places))
