"""What the chosen number would have given, in place of asking for "as good as you can"."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mole_jax.evaluation.harness import scoring, statistics
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import fixed_prompt, generated


class Numbered(NamedTuple):
    """How good networks asked for the chosen number are."""

    test_loss: np.ndarray  # [T, N]
    test_score: np.ndarray  # [T, N]


def applies(context: EvalContext) -> bool:
    """Return whether everything else asks for the best and not for the number."""
    return context.asks_best


def generate(context: EvalContext, split: str, results: Results) -> Numbered:
    """Predict as in `generated`, with the same noise, but ask for the number."""
    episodes, prompt = context.splits[split], fixed_prompt.number(context, results)
    key = context.key(f"generated {split}")
    flat = predict(context, context.learner, episodes, prompt, key)
    return Numbered(*scoring.on_own_tasks(context.family, "test", flat, episodes.tasks))


def _record(context: EvalContext, split: str, results: Results) -> Record:
    """Summarise them; the gain, task by task, is that of asking for the best instead."""
    best, found = results.of(generated.MEASURE, split), results.of(MEASURE)
    gain, interval = statistics.paired_gain(
        best.test_score, found.test_score, n_boot=context.evaluation["bootstrap"]
    )
    summary = {
        "asked": fixed_prompt.number(context, results),
        "mean": float(found.test_score.mean()),
        "loss_mean": float(found.test_loss.mean()),
        "best_loss_mean": float(best.test_loss.mean()),
        "best_gain_mean": gain,
        "best_gain_ci95": list(interval),
    }
    return {"numbered_prompt": summary}


MEASURE = Measure(
    "numbered",
    Numbered,
    generate,
    "main split",
    needs=(fixed_prompt.MEASURE, generated.MEASURE),
    applies=applies,
    record=_record,
)
