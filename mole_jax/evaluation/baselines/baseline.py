"""What a baseline is: a measure of networks that were made without meta-training, and its name.

To add one: a file in this folder that exports a BASELINE, and a line in `roster.py`.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Protocol

import numpy as np

from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure


class Scored(Protocol):
    """The result of a baseline: how good its networks are on the test pool."""

    @property
    def test_loss(self) -> np.ndarray:
        """[T, N]."""

    @property
    def test_score(self) -> np.ndarray:
        """[T, N]."""


class Scores(NamedTuple):
    """How good networks are that are not kept."""

    test_loss: np.ndarray  # [T, N]
    test_score: np.ndarray  # [T, N]


class ScoredNetworks(NamedTuple):
    """Networks and how good they are."""

    parameters: np.ndarray  # [T, N, D]
    test_loss: np.ndarray  # [T, N]
    test_score: np.ndarray  # [T, N]


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A way of making networks without meta-training, and what it is called in the report."""

    label: str
    sentence: str
    measure: Measure[Scored]  # on each split


def tested(context: EvalContext, split: str, flat: np.ndarray) -> ScoredNetworks:
    """Test networks [T, N, D], one for each episode of a split."""
    tasks = context.splits[split].tasks
    return ScoredNetworks(flat, *scoring.on_own_tasks(context.family, "test", flat, tasks))
