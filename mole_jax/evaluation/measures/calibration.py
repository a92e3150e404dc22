"""Does the learner know how good a prediction is, and when a task is unlike those it knows?"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy import stats

from mole_jax.evaluation.harness import scoring, statistics
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.measure import Measure, Record, Results, labelled
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import fixed_prompt, generated
from mole_jax.evaluation.measures.generated import judged
from mole_jax.tasks.images import ImageTasks


class Strange(NamedTuple):
    """Networks of strange tasks, for the first start of each task."""

    predicted_loss: np.ndarray  # [T, 1] on the support set, which is known before any test
    test_accuracy: np.ndarray  # [T, 1]


def outside(context: EvalContext, split: str, results: Results) -> Strange:
    """Predict networks of the same tasks with inverted images."""
    strange, data = inverted(context, context.splits[split].first())
    prompt, key = fixed_prompt.of(context, results), context.key(f"calibration {split}")
    found = judged(context, strange, predict(context, context.learner, strange, prompt, key), data)
    assert found.support_loss is not None  # of labelled tasks only
    return Strange(found.support_loss, found.test_score)


def inverted(context: EvalContext, episodes: EpisodeGrid) -> tuple[EpisodeGrid, ImageTasks]:
    """Return episodes and tasks with inverted images.

    Images are inverted in the support set, in the pool that gives the start's metric, and in the
    test pool.
    """
    data = context.family.device_data
    low, high = (
        np.asarray(x * data.scale + data.shift) for x in (data.pixels.min(), data.pixels.max())
    )
    data = dataclasses.replace(data, scale=-data.scale, shift=low + high - data.shift)
    support = episodes.support._replace(inputs=low + high - episodes.support.inputs)
    network, metric = context.family.network, context.prompt_metric
    start_metric = metric.of_measured(
        *scoring.on_pool(network, data, metric.pool, episodes.starts, episodes.tasks[:, None]),
        context.family.score_unit,
    )
    return dataclasses.replace(episodes, support=support, start_metric=start_metric), data


def _record(context: EvalContext, split: str, results: Results) -> Record:
    """Measure a split's calibration at the fixed prompt, and detection of strange tasks.

    The record has spearman and mae (nats) of predicted against achieved test loss over networks;
    `auroc_inverted`, how often a strange task has the higher predicted loss (ties one half); and
    the accuracy reached on strange tasks.
    """
    ours, strange = results.of(generated.MEASURE, split), results.of(MEASURE)
    assert ours.support_loss is not None  # of labelled tasks only
    predicted, achieved = ours.support_loss.ravel(), ours.test_loss.ravel()
    finite = np.isfinite(predicted) & np.isfinite(achieved)
    varied = np.ptp(predicted[finite]) > 0 and np.ptp(achieved[finite]) > 0
    rank = stats.spearmanr(predicted[finite], achieved[finite]).statistic if varied else None
    known = np.nan_to_num(ours.support_loss[:, 0], nan=np.inf)
    unknown = np.nan_to_num(strange.predicted_loss.ravel(), nan=np.inf)
    summary = {
        "n": int(finite.sum()),
        "spearman": None if rank is None else float(rank),
        "mae": float(np.abs(predicted - achieved)[finite].mean()),
        "auroc_inverted": statistics.auroc(unknown, known),
        "accuracy_inverted": float(strange.test_accuracy.mean()),
    }
    return {"calibration": summary}


MEASURE = Measure(
    "calibration",
    Strange,
    outside,
    "main split",
    needs=(fixed_prompt.MEASURE, generated.MEASURE),
    applies=labelled,
    record=_record,
)
