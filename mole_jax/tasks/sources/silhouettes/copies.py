"""How things of one class differ: in form, and, where the class leaves it free, in surface."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mole_jax.tasks.sources.silhouettes.things import Part, Thing
from mole_jax.tasks.sources.strokes import hands

# Standard deviations. Lengths are in units of a part's size, angles in radians, sizes in logarithm.
_CORNER = 0.1  # of each corner
_PLACE = 0.07  # of a part, in units of the body's size
_SIZE, _ASPECT = 0.12, 0.12  # of a part
_TURN = 0.1  # of a part
_SLANT, _LEAN, _WIDE = 0.06, 0.06, 0.12  # of the thing
_WAVES = 0.15  # how often stripes come
# Of surfaces, where they are free.
_LEVEL, _SLOPE, _STRIPES, _SPOTS = 0.7, 0.5, 0.25, 0.25
_PATTERNED = 0.3  # share of things with a pattern of their own, of each kind


class Surfaces(NamedTuple):
    """The surfaces of one part of n things; see `things.Surface`."""

    level: np.ndarray  # [n]
    slope: np.ndarray  # [n, 2]
    stripes: np.ndarray  # [n]
    waves: np.ndarray  # [n, 2]
    phase: np.ndarray  # [n]
    spots: np.ndarray  # [n]


def copies(
    thing: Thing, n: int, unlike: float, rng: np.random.Generator
) -> list[tuple[np.ndarray, Surfaces]]:
    """Return n things of a class: the outline [n, m, 2] and the surfaces of each part.

    Args:
        thing: the class.
        n: how many.
        unlike: how much they differ; 0: only in where stripes and spots lie.
        rng: of the differences.
    """
    slant, lean, wide = (unlike * rng.normal(0, sd, (n, 1)) for sd in (_SLANT, _LEAN, _WIDE))
    parts = []
    for part in thing.parts:
        outline = _outline(part, n, unlike, thing.mirrored and not part.twin, rng)
        surfaces = _surfaces(part, n, unlike, unlike * thing.free, rng)
        sides = [outline, outline * [1, -1]] if part.twin else [outline]
        for side in sides:
            y, x = side[..., 0] * np.exp(-wide / 2), side[..., 1] * np.exp(wide / 2)
            parts.append((hands.turned(np.stack([y, x - slant * y], -1), lean), surfaces))
    return parts


def _outline(
    part: Part, n: int, unlike: float, mirrored: bool, rng: np.random.Generator
) -> np.ndarray:
    """Draw a part's outlines: closed curves [n, m, 2]."""
    size = np.abs(part.corners).mean()
    moved = unlike * _CORNER * size * rng.normal(size=(n, *part.corners.shape))
    if mirrored:
        moved = (moved + moved[:, ::-1] * [1, -1]) / 2
    zoom = unlike * (_SIZE * rng.normal(size=(n, 1, 1)) + _ASPECT * rng.normal(size=(n, 1, 2)))
    corners = (part.corners + moved) * np.exp(zoom)
    place = part.place + unlike * _PLACE * rng.normal(size=(n, 2)) * (bool(part.place.any()))
    if mirrored:
        place = place * [1, 0]
    else:
        corners = hands.turned(corners, unlike * _TURN * rng.normal(size=(n, 1)))
    if part.smooth:
        corners = hands.around(corners)
    return corners + place[:, None]


def _surfaces(part: Part, n: int, unlike: float, free: float, rng: np.random.Generator) -> Surfaces:
    one = part.surface
    stripes = one.stripes + free * _STRIPES * rng.normal(size=n) * (rng.random(n) < _PATTERNED)
    spots = one.spots + free * _SPOTS * rng.normal(size=n) * (rng.random(n) < _PATTERNED)
    return Surfaces(
        level=one.level + free * _LEVEL * rng.normal(size=n),
        slope=one.slope + free * _SLOPE * rng.normal(size=(n, 2)),
        stripes=stripes,
        waves=one.waves * np.exp(unlike * _WAVES * rng.normal(size=(n, 1))),
        phase=rng.uniform(0, 2 * np.pi, n),
        spots=spots,
    )
