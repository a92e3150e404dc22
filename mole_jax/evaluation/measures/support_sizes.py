"""How many labelled examples it takes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mole_jax.evaluation.harness import evaluation_config, scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import fewer
from mole_jax.evaluation.harness.measure import Arrays, Measure, Record, Results
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import fixed_prompt


class BySize(NamedTuple):
    """Test score by size of the support set, for the first start of every task."""

    sizes: np.ndarray  # [K] examples in all, mean over tasks
    score: np.ndarray  # [K, T]


def score(context: EvalContext, split: str, results: Results) -> BySize:
    """Predict from fewer and fewer examples."""
    episodes, n_classes = context.splits[split].first(), context.family.n_classes
    prompt, key = fixed_prompt.of(context, results), context.key(f"support sizes {split}")
    sizes, found = evaluation_config.support_sizes(context.config), []
    for per_class in sizes:
        shown = fewer(episodes, per_class, n_classes)
        flat = predict(context, context.learner, shown, prompt, key)
        _, reached = scoring.on_own_tasks(context.family, "test", flat, episodes.tasks)
        found.append(reached[:, 0])
    classes = context.family.classes_of_tasks[episodes.tasks].mean()
    return BySize(np.round(classes * np.array(sizes)).astype(int), np.array(found))


def _record(context: EvalContext, split: str, results: Results) -> Record:
    of_size = {
        str(int(size)): float(row.mean()) for size, row in zip(*results.of(MEASURE), strict=True)
    }
    return {f"{context.family.score}_by_support_size": of_size}


def _arrays(context: EvalContext, split: str, results: Results) -> Arrays:
    found = results.of(MEASURE)
    return {"support_sizes": found.sizes, "support_score": found.score}


MEASURE = Measure(
    "support_sizes",
    BySize,
    score,
    "main split",
    needs=(fixed_prompt.MEASURE,),
    record=_record,
    arrays=_arrays,
)
