"""Learning curves of the zoo: what learners learn from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Arrays, Measure, Results

# Learning curves drawn, evenly spread over the zoo.
MOST_RUNS = 400


class LearningCurves(NamedTuple):
    """The prompt metric of runs along their training."""

    steps: np.ndarray  # [S]
    metric: np.ndarray  # [R, S]
    split: np.ndarray  # [R]


def read(context: EvalContext, split: str, results: Results) -> LearningCurves:
    """Read finite runs of all splits."""
    zoo = context.zoo
    runs = zoo.select(finite=True)
    if len(runs) > MOST_RUNS:
        runs = runs[np.linspace(0, len(runs) - 1, MOST_RUNS).round().astype(int)]
    metric = context.prompt_metric.of_runs(zoo, runs)
    return LearningCurves(zoo.steps, metric, zoo.runs["split"][runs].astype(str))


def _arrays(context: EvalContext, split: str, results: Results) -> Arrays:
    found = results.of(MEASURE)
    return {"zoo_steps": found.steps, "zoo_loss": found.metric, "zoo_split": found.split}


MEASURE = Measure("learning_curves", LearningCurves, read, "once", arrays=_arrays)
