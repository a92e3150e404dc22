"""How hands draw one character: none like another, as people's handwriting differs."""

from __future__ import annotations

import numpy as np

from mole_jax.tasks.sources.strokes.characters import Character

# Standard deviations; lengths are in units of the character's longer side, angles in radians.
# `_POINT` to `_PAPER` are for a careless hand, and are multiplied by how careless it is.
_POINT = 0.05  # of each point that the pen goes through
_STROKE = 0.045  # of a stroke's place
_TURN = 0.12  # of a stroke
_LENGTH = 0.12  # of a stroke's height and width, in logarithm
_PAPER = 0.06  # of a smooth field that bends all strokes alike
_SLANT, _LEAN = 0.22, 0.1  # of the character: shear, and turn
_WIDE = 0.18  # of width against height, in logarithm
_PER_PIECE = 5  # points of a curve between two that the pen goes through


def write(
    character: Character, n: int, careless: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return a character as n hands write it.

    Args:
        character: its strokes.
        n: hands.
        careless: 0: they differ in slant and proportions only; 1: in everything above.
        rng: of the differences.

    Returns:
        For each stroke its curves [n, m, 2], points (y, x).
    """
    bend = careless * _PAPER * rng.normal(size=(n, 3, 3, 2))
    slant, lean, wide = (rng.normal(0, sd, (n, 1)) for sd in (_SLANT, _LEAN, _WIDE))
    curves = []
    for stroke in character:
        points = stroke + careless * _POINT * rng.normal(size=(n, *stroke.shape))
        middle = points.mean(1, keepdims=True)
        away = (points - middle) * np.exp(careless * _LENGTH * rng.normal(size=(n, 1, 2)))
        away = turned(away, careless * _TURN * rng.normal(size=(n, 1)))
        points = middle + away + careless * _STROKE * rng.normal(size=(n, 1, 2))
        curve = through(points)
        curve = curve + _bent(curve, bend)
        y, x = curve[..., 0] * np.exp(-wide / 2), curve[..., 1] * np.exp(wide / 2)
        curves.append(turned(np.stack([y, x - slant * y], -1), lean))
    return curves


def through(points: np.ndarray) -> np.ndarray:
    """Draw a Catmull-Rom curve through points [n, p, 2]: [n, m, 2]."""
    first, last = points[:, :1], points[:, -1:]
    ends = 2 * first - points[:, 1:2], 2 * last - points[:, -2:-1]
    p = np.concatenate([ends[0], points, ends[1]], axis=1)
    pieces = points.shape[1] - 1
    time = np.linspace(0, pieces, pieces * _PER_PIECE + 1)
    k = np.minimum(time.astype(int), pieces - 1)
    t = (time - k)[:, None]
    a, b, c, d = (p[:, k + i] for i in range(4))
    return 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * (b - c) + d - a) * t**3
    )


def around(points: np.ndarray) -> np.ndarray:
    """Draw a closed Catmull-Rom curve around points [n, p, 2]: [n, m, 2]."""
    open_curve = through(np.concatenate([points[:, -1:], points, points[:, :2]], axis=1))
    return open_curve[:, _PER_PIECE : -_PER_PIECE - 1]


def _bent(curve: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Look up a field [n, 3, 3, 2] over the character's box at curves [n, m, 2]: [n, m, 2]."""
    at = 2 * np.clip(curve + 0.5, 0, 1)
    k = np.minimum(at.astype(int), 1)
    share = at - k
    hand = np.arange(len(curve))[:, None]
    found = np.zeros_like(curve)
    for i, j in np.ndindex(2, 2):
        weight = np.abs(1 - i - share[..., 0]) * np.abs(1 - j - share[..., 1])
        found += weight[..., None] * bend[hand, k[..., 0] + i, k[..., 1] + j]
    return found


def turned(points: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Turn points [n, m, 2] by angles [n, 1]."""
    cos, sin, y, x = np.cos(angle), np.sin(angle), points[..., 0], points[..., 1]
    return np.stack([cos * y - sin * x, sin * y + cos * x], -1)
