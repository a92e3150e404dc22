"""The prompt used throughout: "as good as you can", or a number.

The number is the candidate that is best on training subsets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.evaluation.harness.prediction import predict


class FixedPrompt(NamedTuple):
    """Candidates, and their scores and losses on training subsets."""

    candidates: np.ndarray  # [P]
    validation_score: np.ndarray  # [P]
    validation_loss: np.ndarray  # [P]
    chosen: np.ndarray  # []


def choose(context: EvalContext, split: str, results: Results) -> FixedPrompt:
    """Choose the candidate prompt with the best mean validation score on training subsets.

    Ties go to the lower validation loss. Each learner has its own choice.
    """
    learner, episodes = context.learner, context.choice
    candidates = np.array(context.evaluation["candidates"])  # [P]
    asked = np.broadcast_to(candidates, (*episodes.shape, len(candidates)))
    flat = predict(context, learner, episodes, asked, context.key(f"choose {learner}"))
    loss, score = scoring.on_own_tasks(context.family, "validation", flat, episodes.tasks)
    loss, score = loss.mean((0, 1)), score.mean((0, 1))  # [P]
    best = np.lexsort((np.nan_to_num(loss, nan=np.inf), -score))[0]
    return FixedPrompt(candidates, score, loss, candidates[best])


def of(context: EvalContext, results: Results) -> float | None:
    """Return what the measured learner is asked for: a number, or None for its best."""
    return None if context.asks_best else number(context, results)


def number(context: EvalContext, results: Results) -> float:
    """Return the number that was chosen for the measured learner."""
    return float(results.of(MEASURE, learner=context.learner).chosen)


def _record(context: EvalContext, split: str, results: Results) -> Record:
    return {f"fixed_prompt_{context.learner}": number(context, results)}


MEASURE = Measure("fixed_prompt", FixedPrompt, choose, "choice", each_learner=True, record=_record)
