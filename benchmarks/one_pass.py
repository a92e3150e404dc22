"""Accuracy of one predicted network a task, at several numbers of examples a class."""

from __future__ import annotations

import numpy as np

from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures.support_sizes import fewer

SHOTS = (1, 5, 10)


def accuracies(context: EvalContext, learner: str) -> dict[str, dict[str, list[float]]]:
    """Return the test accuracy on each task, by split and by examples a class.

    A learner that was taught to is asked for the best that it can, others for a loss of 0.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for split, grid in context.splits.items():
        episodes = grid.first()
        found[split] = {}
        for shots in SHOTS:
            shown = fewer(episodes, shots, context.family.n_classes)
            prompt = None if context.measuring(learner).asks_best else 0.0
            flat = predict(context, learner, shown, prompt, context.key(f"one pass {split}"))
            _, score = scoring.on_own_tasks(context.family, "test", flat, episodes.tasks)
            found[split][str(shots)] = np.mean(score, axis=1).round(4).tolist()
    return found
