"""Images of one glyph, none like another: slant, proportions, stroke, place, blur and contrast.

The changes are moderate: five classes of 8x8 pixels are as hard to distinguish by a few examples as
five of scikit-learn's digits are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

TURN = 12.0  # degrees, either way
SHEAR = 0.25  # either way
STRETCH = 0.2  # of width against height, either way
STROKE = (-0.01, 0.06)  # added at each edge of a stroke, as a share of the glyph's longer side
KEPT = 0.6  # of a stroke's half width, at least
MARGIN = 0.15  # of the image on each side, at most; small ones are more frequent
PLACE = 0.025  # of the image, standard deviation
BLUR = 0.12  # width of an edge, at most, as a share of the glyph's longer side
GAMMA = (0.6, 1.2)
BRIGHTEST = (0.9, 1.0)  # pixel
_FINE = 32  # pixels across, at least, of an image before it is averaged down
_AROUND = 0.25  # of the longer side, left free around a glyph
_DIRECTIONS = np.arange(32) * (2 * np.pi / 32)


class Field(NamedTuple):
    """The distance to a glyph's outline; lengths are in units of the glyph's longer side."""

    distance: np.ndarray  # [h, w] float64, negative inside
    unit: int  # pixels of `distance`
    hull: np.ndarray  # [32, 2] outermost points (y, x), from the middle
    half_stroke: float


def field(outline: np.ndarray, side: int) -> Field:
    """Measure the distances from which a glyph is drawn in any slant and stroke, with clean edges.

    Args:
        outline: uint8 [height, width], 255 inside, cropped to the glyph.
        side: pixels across the images that are wanted.
    """
    unit = 2 * side * _fine(side)
    scale = unit / max(outline.shape)
    height, width = (max(1, round(n * scale)) for n in outline.shape)
    shape = np.asarray(Image.fromarray(outline).resize((width, height), Image.Resampling.BOX))
    inside = np.pad(shape, round(_AROUND * unit)) >= min(128, int(shape.max()))
    depth = ndimage.distance_transform_edt(inside)
    distance = (ndimage.distance_transform_edt(~inside) - depth) / unit
    points = np.argwhere(inside) - (np.array(inside.shape) - 1) / 2
    ways = np.stack([np.sin(_DIRECTIONS), np.cos(_DIRECTIONS)])
    hull = points[(points @ ways).argmax(0)] / unit
    # The mean depth of a straight stroke's pixels is half of its half width.
    return Field(distance, unit, hull, 2 * float(depth[inside].mean()) / unit)


def images(glyph: Field, n: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n images, bright on dark: uint8 [n, side, side], 0..255."""
    turn, shear = np.radians(rng.uniform(-TURN, TURN, n)), rng.uniform(-SHEAR, SHEAR, n)
    wide = np.exp(rng.uniform(-STRETCH, STRETCH, n) / 2)
    stroke = np.maximum(rng.uniform(*STROKE, n), (KEPT - 1) * glyph.half_stroke)
    room = 1 - 2 * MARGIN * rng.uniform(0, 1, n) ** 2
    place = 0.5 + rng.normal(0, PLACE, (n, 2))
    fine = _fine(side)
    sharp = 1 / (fine * side)  # an edge as wide as a fine pixel: no stroke is missed
    blur, gamma, brightest = (rng.uniform(*x, n) for x in ((sharp, BLUR), GAMMA, BRIGHTEST))

    # (y, x) of the glyph -> (y, x) of the image: stretch, then shear, then turn.
    cos, sin = np.cos(turn), np.sin(turn)
    turned = np.array([[cos, -sin], [sin, cos]])
    slanted = np.array([[1 / wide, np.zeros(n)], [-shear / wide, wide]])
    there = np.einsum("ijn,jkn->nik", turned, slanted)
    reach = np.einsum("nij,pj->npi", there, glyph.hull)
    low, high = reach.min(1), reach.max(1)  # [n, 2]
    zoom = (room / ((high - low).max(1) + 2 * stroke))[:, None]  # images a unit
    middle = place - zoom * (low + high) / 2

    grid = (np.arange(fine * side) + 0.5) / (fine * side)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(1, -1, 2)
    back = np.linalg.inv(there) / zoom[..., None]
    at = np.einsum("nij,npj->inp", back, points - middle[:, None])  # [2, n, p] of the glyph
    centre = (np.array(glyph.distance.shape)[:, None, None] - 1) / 2
    at = at * glyph.unit + centre
    distance = ndimage.map_coordinates(glyph.distance, at, order=1, mode="nearest")
    ink = np.clip(0.5 - (distance - stroke[:, None]) / blur[:, None], 0, 1)
    ink = ink.reshape(n, side, fine, side, fine).mean((2, 4))
    ink = (ink / ink.max((1, 2), keepdims=True)) ** gamma[:, None, None]
    return np.round(255 * brightest[:, None, None] * ink).astype(np.uint8)


def _fine(side: int) -> int:
    """Return how many fine pixels lie across one pixel of an image."""
    return max(2, -(-_FINE // side))
