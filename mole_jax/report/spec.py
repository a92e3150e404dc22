"""What a figure is: a drawing and a sentence, both made from recorded numbers only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from numpy.typing import NDArray

from mole_jax.report import style
from mole_jax.report.findings import Result

Array = NDArray[Any]


@dataclass(frozen=True)
class Recorded:
    """What figures draw: arrays of figures.npz, and a split's result, mostly the main split's."""

    arrays: Mapping[str, Array]
    result: Result

    def has(self, key: str) -> bool:
        """Return True if `key` is a non-empty array, or a non-empty part of the result."""
        array = self.arrays.get(key)
        return bool(self.result.get(key)) if array is None else array.size > 0

    @property
    def prompt_metric(self) -> str:
        """Return the prompt metric in words: "test error (%)"."""
        return str(self.arrays["prompt_metric"]) if self.has("prompt_metric") else "validation loss"

    @property
    def asked(self) -> str:
        """Return the same without the pool that it was measured on: "error (%)"."""
        first, _, rest = self.prompt_metric.partition(" ")
        return rest if first in ("train", "validation", "test") else self.prompt_metric

    def __getitem__(self, key: str) -> Array:
        return self.arrays[key]


@dataclass(frozen=True)
class FigureSpec:
    """One figure: file name, heading, keys it needs, drawing, caption and size in inches.

    `every_split`: there is one for every split, and not for the main one alone.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    draw: Callable[[Axes, Recorded], None]
    caption: Callable[[Recorded], str]
    size: tuple[float, float] = style.SIZE
    every_split: bool = False

    def missing(self, data: Recorded) -> list[str]:
        """Return the keys that it needs but the evaluation did not record."""
        return [key for key in self.needs if not data.has(key)]
