"""Areas to pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from mole_jax.tasks.sources.silhouettes.copies import Surfaces

_FINE = 32  # pixels across, at least, of an image before it is averaged down
_DARKEST = 0.06  # least brightness of an area, as a share of the largest
_LEFT = 0.5  # share of what is lit that stays, at least: larger holes are not cut
_SPOTS = 6  # across an image


class Views(NamedTuple):
    """How n things are shown."""

    margin: np.ndarray  # [n] on each side, as a share of the image
    place: np.ndarray  # [n, 2] of the middle
    gamma: np.ndarray  # [n] of the pixels

    @staticmethod
    def draw(n: int, rng: np.random.Generator) -> Views:
        """Draw some; small margins are more frequent."""
        return Views(
            margin=0.12 * rng.uniform(0, 1, n) ** 2,
            place=0.5 + rng.normal(0, 0.02, (n, 2)),
            gamma=rng.uniform(0.6, 1.2, n),
        )

    @staticmethod
    def plain() -> Views:
        """Return one in which a thing fills the image."""
        return Views(np.zeros(1), np.full((1, 2), 0.5), np.ones(1))


def images(
    parts: Sequence[tuple[np.ndarray, Surfaces]],
    views: Views,
    side: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Paint n things, bright on dark: uint8 [n, side, side], 0..255.

    Args:
        parts: the outline [n, m, 2], points (y, x), and the surfaces of each; later ones cover
            earlier ones, holes at most half of them.
        views: n of them.
        side: pixels across an image.
        rng: of spots.
    """
    points = np.concatenate([outline for outline, _ in parts], axis=1)
    low, high = points.min(1), points.max(1)  # [n, 2]
    n, fine = len(points), max(2, -(-_FINE // side))
    across = fine * side
    zoom = (1 - 2 * views.margin) / (high - low).max(1)
    canvas = np.zeros((n, across, across), np.float32)
    for outline, surfaces in parts:
        at = (outline - ((low + high) / 2)[:, None]) * zoom[:, None, None] + views.place[:, None]
        inside = np.stack([_filled(one, across) for one in at])
        lit = canvas > 0
        left = (lit & ~inside).sum((1, 2)) >= _LEFT * lit.sum((1, 2))
        inside &= (left | ~np.isneginf(surfaces.level))[:, None, None]
        np.copyto(canvas, _painted(surfaces, across, rng), where=inside)
    small = canvas.reshape(n, side, fine, side, fine).mean((2, 4))
    small = (small / small.max((1, 2), keepdims=True)) ** views.gamma[:, None, None]
    return np.round(255 * small).astype(np.uint8)


def _filled(outline: np.ndarray, across: int) -> np.ndarray:
    """Say which pixels [across, across] lie inside a closed curve [m, 2]."""
    image = Image.new("1", (across, across))
    corners = (outline[:, ::-1] * across - 0.5).ravel().tolist()
    ImageDraw.Draw(image).polygon(corners, fill=1)
    return np.asarray(image)


def _painted(surfaces: Surfaces, across: int, rng: np.random.Generator) -> np.ndarray:
    """Return what areas would look like if they covered the image: float32 [n, across, across]."""
    n = len(surfaces.level)
    y = ((np.arange(across) + 0.5) / across - 0.5).astype(np.float32)[:, None]
    slope, waves = surfaces.slope[..., None, None], 2 * np.pi * surfaces.waves[..., None, None]
    level = surfaces.level[:, None, None] + slope[:, 0] * y + slope[:, 1] * y.T
    if surfaces.stripes.any():
        wave = np.sin(waves[:, 0] * y + waves[:, 1] * y.T + surfaces.phase[:, None, None])
        level = level + surfaces.stripes[:, None, None] * wave
    if surfaces.spots.any():
        grid = rng.normal(size=(n, _SPOTS, _SPOTS))
        weights = _between(across)
        level = level + surfaces.spots[:, None, None] * (weights @ grid @ weights.T)
    hole = np.isneginf(surfaces.level)[:, None, None]
    return np.where(hole, 0, np.clip(np.exp(level), _DARKEST, 1)).astype(np.float32)


def _between(across: int) -> np.ndarray:
    """Return the weights that interpolate a grid linearly at pixels: [across, _SPOTS]."""
    at = np.arange(across) * (_SPOTS - 1) / (across - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(_SPOTS)))
