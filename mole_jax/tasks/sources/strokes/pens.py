"""What pens leave on paper: curves to pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_FINE = 32  # pixels across, at least, of an image before it is averaged down


class Pens(NamedTuple):
    """What n images are drawn with; lengths are shares of the image unless stated otherwise."""

    width: np.ndarray  # [n] half of a stroke's, in units of the character's longer side
    margin: np.ndarray  # [n] on each side
    place: np.ndarray  # [n, 2] of the middle
    edge: np.ndarray  # [n] how wide a soft edge is
    gamma: np.ndarray  # [n] of the pixels

    @staticmethod
    def draw(n: int, rng: np.random.Generator) -> Pens:
        """Draw thin and broad ones, soft and sharp ones; small margins are more frequent."""
        return Pens(
            width=np.exp(rng.normal(np.log(0.055), 0.35, n)),
            margin=0.12 * rng.uniform(0, 1, n) ** 2,
            place=0.5 + rng.normal(0, 0.02, (n, 2)),
            edge=rng.uniform(0, 0.1, n),
            gamma=rng.uniform(0.6, 1.2, n),
        )

    @staticmethod
    def plain(width: float = 0.055) -> Pens:
        """Return one pen of a usual kind, whose strokes fill the image."""
        one = np.ones(1)
        return Pens(width * one, 0 * one, np.full((1, 2), 0.5), 0 * one, one)


def images(curves: Sequence[np.ndarray], pens: Pens, side: int) -> np.ndarray:
    """Draw n characters, bright on dark: uint8 [n, side, side], 0..255.

    Args:
        curves: of each stroke [n, m, 2], points (y, x) in units of the character's longer side.
        pens: n of them.
        side: pixels across an image.
    """
    points = np.concatenate(curves, axis=1)
    low, high = points.min(1), points.max(1)  # [n, 2]
    zoom = (1 - 2 * pens.margin) / ((high - low).max(1) + 2 * pens.width)
    fine = max(2, -(-_FINE // side))
    across = fine * side
    grid = ((np.arange(across) + 0.5) / across).astype(np.float32)
    nearest = np.full((len(zoom), across, across), 9.0, np.float32)  # squared distance
    for curve in curves:
        at = (curve - ((low + high) / 2)[:, None]) * zoom[:, None, None] + pens.place[:, None]
        at = at.astype(np.float32)[..., None, None]  # [n, m, 2, 1, 1]
        for begin, end in zip(at[:, :-1].swapaxes(0, 1), at[:, 1:].swapaxes(0, 1), strict=True):
            way = end - begin  # [n, 2, 1, 1]
            y, x = grid[:, None] - begin[:, 0], grid[None] - begin[:, 1]
            along = (y * way[:, 0] + x * way[:, 1]) / ((way**2).sum(1) + np.float32(1e-9))
            along = np.clip(along, 0, 1)
            away = (y - along * way[:, 0]) ** 2 + (x - along * way[:, 1]) ** 2
            np.minimum(nearest, away, out=nearest)
    edge = np.maximum(pens.edge, 1 / across)  # no stroke is missed
    reach = (pens.width * zoom)[:, None, None]
    ink = np.clip(0.5 - (np.sqrt(nearest) - reach) / edge[:, None, None], 0, 1)
    ink = ink.reshape(-1, side, fine, side, fine).mean((2, 4))
    ink = (ink / ink.max((1, 2), keepdims=True)) ** pens.gamma[:, None, None]
    return np.round(255 * ink).astype(np.uint8)
