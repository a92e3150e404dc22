"""What a thing is made of, before any of its kind is painted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_MIRRORED = 0.65  # share of things whose left half is like the right one
_PARTS = (0.25, 0.3, 0.25, 0.2)  # shares of things with none to three parts on the body
_PAIRS = 0.7  # share of a mirrored thing's parts that come in pairs, as sleeves do
_HOLES = 0.15  # share of parts that are cut out
_SMOOTH = 0.5  # share of outlines without sharp corners
_PLAIN = 0.4  # share of parts without a pattern
_FREE = 0.5  # share of classes whose things have each a surface of its own


class Surface(NamedTuple):
    """How bright a part is, and its pattern; lengths are in units of the thing's longer side."""

    level: float  # in logarithm, 0: as bright as can be; minus infinity: a hole
    slope: np.ndarray  # [2] of the level from top to bottom and from left to right
    stripes: float  # how much darker and brighter they are, in logarithm
    waves: np.ndarray  # [2] stripes in the image's height and width
    spots: float  # how much darker and brighter, in logarithm


class Part(NamedTuple):
    """An area: a closed curve through corners (y, x), from its own middle."""

    corners: np.ndarray  # [k, 2]
    smooth: bool
    place: np.ndarray  # [2] of its middle
    twin: bool  # there is another one, on the other side
    surface: Surface


class Thing(NamedTuple):
    """Parts, each above the ones before it, and whether their surfaces are those of the class."""

    parts: tuple[Part, ...]
    mirrored: bool
    free: float  # how much surfaces differ within the class: 0 to 1


def make_up(rng: np.random.Generator) -> Thing:
    """Make up a thing: a body, and up to three kinds of parts on it."""
    mirrored = bool(rng.random() < _MIRRORED)
    body = Part(
        # Taller than wide, because parts at both sides make things wider.
        _corners(rng, mirrored) * np.exp(rng.normal((0.2, -0.2), 0.35)),
        bool(rng.random() < _SMOOTH),
        np.zeros(2),
        False,
        _surface(rng),
    )
    parts = [body]
    for _ in range(rng.choice(len(_PARTS), p=_PARTS)):
        twin = bool(mirrored and rng.random() < _PAIRS)
        hole = bool(rng.random() < _HOLES)
        place = body.corners[rng.integers(len(body.corners))]
        place = place * (rng.uniform(0.1, 0.5) if hole else rng.uniform(0.5, 1.1))
        if mirrored and not twin:
            place = place * [1, 0]
        # Long parts, too: sleeves, legs, straps.
        corners = _corners(rng, mirrored and not twin) * np.exp(rng.normal(0, 0.6, 2))
        corners = corners * rng.uniform(0.15, 0.35 if hole else 0.6)
        surface = body.surface if rng.random() < 0.5 else _surface(rng)
        if hole:
            surface = surface._replace(level=-np.inf)
        parts.append(Part(corners, bool(rng.random() < _SMOOTH), place, twin, surface))
    free = rng.uniform(0.5, 1.0) if rng.random() < _FREE else rng.uniform(0.0, 0.3)
    return Thing(tuple(parts), mirrored, free)


def _corners(rng: np.random.Generator, mirrored: bool) -> np.ndarray:
    """Make up corners [k, 2] of an outline around 0, about 1 away from it."""
    if mirrored:
        half = int(rng.integers(2, 5))
        angle = (np.arange(half) + rng.uniform(0.15, 0.85, half)) * np.pi / half  # from the top
        right = np.exp(rng.normal(0, 0.35, (half, 1))) * np.stack(
            [-np.cos(angle), np.sin(angle)], -1
        )
        return np.concatenate([right, right[::-1] * [1, -1]])
    k = int(rng.integers(3, 8))
    angle = (np.arange(k) + rng.uniform(-0.35, 0.35, k) + rng.random()) * 2 * np.pi / k
    return np.exp(rng.normal(0, 0.35, (k, 1))) * np.stack([np.sin(angle), np.cos(angle)], -1)


def _surface(rng: np.random.Generator) -> Surface:
    kind = 3 if rng.random() < _PLAIN else int(rng.integers(3))
    angle = rng.choice([0, np.pi / 2]) if rng.random() < 0.6 else rng.uniform(0, np.pi)
    return Surface(
        level=float(rng.uniform(-1.2, 0)),
        slope=rng.normal(0, 0.9, 2) * (kind == 0),
        stripes=float(rng.uniform(0.2, 0.9) * (kind == 1)),
        waves=rng.uniform(1.5, 7) * np.array([np.sin(angle), np.cos(angle)]),
        spots=float(rng.uniform(0.2, 0.7) * (kind == 2)),
    )
