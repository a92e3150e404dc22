"""The inputs of networks: their shape, their scaling, and their statistics in training.

Inputs are pixels of images, or observations, on the source's own scale.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import given
from mole_jax.core.errors import UserError
from mole_jax.sampling import resizing

# Ratios between the usual scales of images: 0..1, 0..16, 0..100, 0..255, 0..65535.
FACTORS = (2, 16, 100, 255, 4096, 65535)
# A ratio within this factor of one of them is named.
_NEAR = 1.25


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The inputs of a model's networks; plain numbers, so that it hashes and compares by value.

    Tuples have one number for all inputs, or F.
    """

    shape: tuple[int, ...]  # of one image or observation
    # Networks are given x * scale + shift.
    scale: tuple[float, ...] = dataclasses.field(repr=False)
    shift: tuple[float, ...] = dataclasses.field(repr=False)
    # Statistics of each input over the training data; None if unknown.
    mean: tuple[float, ...] | None = dataclasses.field(default=None, repr=False)
    std: tuple[float, ...] | None = dataclasses.field(default=None, repr=False)

    @property
    def size(self) -> int:
        """F, the numbers in one."""
        return math.prod(self.shape)

    def flat(self, name: str, x: Any) -> Any:
        """Return x, [m, F] or [m, *shape], as rows [m, F] float32; it may be traced.

        Images with one channel may lack the last axis. An empty list means no examples. JAX arrays
        stay on their device, all else in the host's memory.

        Raises:
            UserError: for any other shape, even with the same number of entries, and for numbers
                that are not finite.
        """
        found: Any = x if isinstance(x, jax.Array) else given.floats(name, x)
        if found.shape == (0,):
            return np.zeros((0, self.size), np.float32)
        if found.shape[1:] not in self._accepted() or not found.ndim:
            raise UserError(f"{name} has the shape {list(found.shape)}; {self._expected(found)}")
        if isinstance(x, jax.Array):
            given.check_floats(name, found)
        return found.astype(np.float32).reshape(-1, self.size)

    def resized(self, name: str, x: Any) -> np.ndarray:
        """Resize images to [m, *shape]; see `resizing.resized`."""
        return resizing.resized(name, x, self.shape)

    def standardised(self, rows: Any) -> Any:
        """Return rows [m, F] scaled as networks take them."""
        scale, shift = (np.asarray(s, np.float32)[None] for s in (self.scale, self.shift))
        with np.errstate(over="ignore"):  # as JAX has it
            return rows * scale + shift

    def strangeness(self, name: str, rows: Any) -> str:
        """Describe how the scale of rows [m, F] differs from training; "" where it does not.

        One factor for all rows is looked for, so unusual images alone do not count: for a single
        row up to 4 is usual, for many up to 2.
        """
        if self.mean is None or self.std is None or not len(rows):
            return ""
        on_host = isinstance(rows, np.ndarray)
        measured = _moments(np, rows) if on_host else _moments_on_device(rows)
        if given.is_traced(measured):  # inside of jit also where the rows have values
            return ""
        known = _Spread.of(np.mean(self.mean), np.mean(np.square(self.std) + np.square(self.mean)))
        largest, mean, square, least = (float(x) for x in measured)
        here = _Spread.of(mean * largest, square * largest**2)
        limit = 2 + 2 / math.sqrt(len(rows))
        ratio = here.size / known.size if known.size else 1.0
        away = abs(here.mean - known.mean) / known.std if known.std else 0.0
        if 1 / limit < ratio < limit and away < 0.75 * limit:
            return ""
        said = (
            f"mean {here.mean:.3g} and spread {here.std:.3g}, where the model was trained on "
            f"{known.mean:.3g} and {known.std:.3g}"
        )
        if least < 0 < known.mean - known.std / 4:  # such as standardised ones
            return f"{name}: some numbers are below 0, unlike in training ({said}): shifted?"
        factor = _named_factor(ratio)
        # With another mean or spread it is not only a factor.
        spread = here.std / known.std if known.std else ratio
        if factor and 0.5 < spread / ratio < 2 and abs(here.mean / ratio - known.mean) < known.std:
            small, large = ("smaller", "multiply") if ratio < 1 else ("larger", "divide")
            return (
                f"{name}: numbers are about {factor} times {small} than in training ({said}): "
                f"{large} them by {factor}?"
            )
        return f"{name}: numbers are on another scale than in training ({said})"

    def _accepted(self) -> list[tuple[int, ...]]:
        """Return the shapes that one example may have."""
        short = [self.shape[:-1]] if len(self.shape) == 3 and self.shape[-1] == 1 else []
        return [(self.size,), *short, self.shape]

    def _expected(self, found: Any) -> str:
        shapes = [", ".join(map(str, ("m", *s))) for s in dict.fromkeys(self._accepted())]
        text = f"expected [{'] or ['.join(shapes)}]"
        if len(self.shape) == 3:
            height, width, channels = self.shape
            if found.shape[1:] == (channels, height, width):
                text += ": the channels come last, x.transpose(0, 2, 3, 1)"
            elif grey := resizing.colour(found.shape[1:], self.shape):
                text += grey
            elif found.shape[1:] not in self._accepted() and found.ndim > 1:
                text += ": model.resized(x) makes images of another size fit"
        if found.shape in self._accepted():
            text += ": for a single one give x[None]"
        return text


@dataclasses.dataclass(frozen=True)
class _Spread:
    """Mean, standard deviation and root mean square of numbers."""

    mean: float
    std: float
    size: float

    @staticmethod
    def of(mean: Any, square: Any) -> _Spread:
        """From the mean and the mean of squares."""
        return _Spread(float(mean), math.sqrt(max(square - mean**2, 0.0)), math.sqrt(square))


def _moments(xp: Any, rows: Any) -> tuple[Any, Any, Any, Any]:
    """Return the largest absolute value and, in units of it, mean, mean square and minimum."""
    largest = xp.maximum(xp.max(xp.abs(rows)), 1e-30)
    shares = rows / largest
    return largest, xp.mean(shares), xp.mean(xp.square(shares)), xp.min(shares)


_moments_on_device = jax.jit(functools.partial(_moments, jnp))


def _named_factor(ratio: float) -> int | None:
    """Return which of FACTORS a ratio, or its inverse, is near; None if none."""
    size = max(ratio, 1 / ratio) if ratio > 0 else math.inf
    near = [f for f in FACTORS if 1 / _NEAR < size / f < _NEAR]
    return near[0] if near else None
