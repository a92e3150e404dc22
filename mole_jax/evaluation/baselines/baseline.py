"""What a baseline is: a solver that is not meta-trained, and the measure of its networks.

To add one, write a file in this folder that exports a BASELINE, and list it in `roster.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.measure import Measure, Results, always
from mole_jax.learners import answers
from mole_jax.training.learner import Label, Solver


class ScoredNetworks(NamedTuple):
    """Networks and how good they are."""

    parameters: np.ndarray  # [T, N, D]
    test_loss: np.ndarray  # [T, N]
    test_score: np.ndarray  # [T, N]


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A solver that is not meta-trained; its theta is what was chosen on training subsets."""

    label: Label
    measure: Measure[ScoredNetworks]  # of its networks, on each split


def of_solver(
    name: str,
    build: Callable[[EvalContext], Solver],
    choice: Measure[Any] | None = None,
    applies: Callable[[EvalContext], bool] = always,
) -> Measure[ScoredNetworks]:
    """Return the measure of a solver's networks, one for each episode of a split.

    Args:
        name: of the measure; also of the key that the solver is given.
        build: makes the solver.
        choice: the measure whose result is theta; without one, theta is None.
        applies: whether it makes sense for these tasks.
    """

    def compute(context: EvalContext, split: str, results: Results) -> ScoredNetworks:
        theta = None if choice is None else results.of(choice)
        episodes = context.splits[split]
        flat = ask(build(context), theta, episodes, context.key(name))
        scores = scoring.on_own_tasks(context.family, "test", flat, episodes.tasks)
        return ScoredNetworks(flat, *scores)

    needs = () if choice is None else (choice,)
    return Measure(name, ScoredNetworks, compute, needs=needs, applies=applies)


def ask(solver: Solver, theta: Any, episodes: EpisodeGrid, key: jax.Array) -> np.ndarray:
    """Return a solver's networks for T x N episodes: [T, N, D]. No target is asked for."""
    rows = episodes.flat()
    flat = solver.adapt(theta, rows, answers.all_of(rows.start_metric), key)
    return np.asarray(flat).reshape(*episodes.shape, -1)
