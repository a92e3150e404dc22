"""What the strokes of a character are, before a hand draws them."""

from __future__ import annotations

import numpy as np

# Strokes [p, 2] of a character: points (y, x) that a pen goes through. The longer side of their
# box is 1, and its middle lies at 0.
Character = tuple[np.ndarray, ...]

_STROKES = (0.45, 0.37, 0.18)  # shares of characters with one, two and three of them
_TOUCH = 0.5  # share of later strokes that begin on an earlier one
_LINES, _ARCS = 0.35, 0.3  # shares of strokes; the others are paths that turn
_CORNERS = 0.4  # share of paths that turn sharply
_UPRIGHT = (0.0, np.pi / 4, np.pi / 2, -np.pi / 4)  # directions that lines often have
# The second singular value of all points over the first: below it they are one straight line,
# which all hands draw alike but for its slant.
_STRAIGHT = 0.15


def make_up(rng: np.random.Generator) -> Character:
    """Make up a character that is more than a straight line."""
    while True:
        strokes: list[np.ndarray] = []
        for _ in range(1 + rng.choice(len(_STROKES), p=_STROKES)):
            start = rng.uniform(0, 1, 2)
            if strokes and rng.random() < _TOUCH:
                other = strokes[rng.integers(len(strokes))]
                start = other[rng.integers(len(other))] + rng.normal(0, 0.02, 2)
            strokes.append(start + _stroke(rng))
        points = np.concatenate(strokes)
        low, high = points.min(0), points.max(0)
        first, second = np.linalg.svd(points - points.mean(0), compute_uv=False)
        if second > _STRAIGHT * first:
            return tuple((s - (low + high) / 2) / (high - low).max() for s in strokes)


def _stroke(rng: np.random.Generator) -> np.ndarray:
    """Make up a stroke that begins at 0: [p, 2]."""
    kind = rng.random()
    if kind < _LINES:
        often = rng.choice(_UPRIGHT) if rng.random() < 0.8 else rng.uniform(0, np.pi)
        end = rng.uniform(0.35, 1.0) * rng.choice([-1, 1]) * _towards(often + rng.normal(0, 0.08))
        return np.linspace(0, 1, 3)[:, None] * end
    if kind < _LINES + _ARCS:
        radius = rng.uniform(0.15, 0.5) * np.exp(rng.normal(0, 0.2, 2))
        sweep = rng.choice([-1, 1]) * rng.uniform(0.6, 2.1) * np.pi
        arc = radius * _towards(rng.uniform(0, 2 * np.pi) + np.linspace(0, sweep, 6))
        return arc - arc[0]
    turns = np.concatenate([[rng.uniform(0, 2 * np.pi)], rng.normal(0, 1.3, rng.integers(2, 5))])
    steps = rng.uniform(0.25, 0.7, (len(turns), 1)) * _towards(np.cumsum(turns))
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)])
    # A curve through a repeated point has a corner there.
    return np.repeat(path, 2, axis=0) if rng.random() < _CORNERS else path


def _towards(angle: np.ndarray | float) -> np.ndarray:
    """Return unit vectors (y, x)."""
    return np.stack([np.sin(angle), np.cos(angle)], -1)
