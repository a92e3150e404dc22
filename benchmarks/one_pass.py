"""Accuracy of one predicted network a task, at several numbers of examples a class."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import on_zoo
from mole_jax.core.storage import files
from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext, load_context
from mole_jax.evaluation.harness.episodes import fewer
from mole_jax.evaluation.harness.prediction import predict

SHOTS = (1, 5, 10)


def judged(config: Any, workdir: Path, learner: str) -> dict[str, dict[str, list[float]]]:
    """Train in a workdir, and return a learner's `accuracies`; they are kept, the workdir is not.

    A training that is done is read and not run again.
    """
    file = workdir.with_suffix(".json")
    if not file.exists():
        on_zoo.make(config, workdir)
        on_zoo.train(config, workdir, workdir)
        files.write_json(file, accuracies(load_context(config, workdir), learner))
        shutil.rmtree(workdir, ignore_errors=True)
    found: dict[str, dict[str, list[float]]] = json.loads(file.read_text())
    return found


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
            mean: Any = np.mean(score, axis=1, dtype=np.float64)
            found[split][str(shots)] = mean.round(4).tolist()
    return found
