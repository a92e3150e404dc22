"""Adam on the zoo's training pool, from the same starts: what generation is measured against."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from mole_jax.evaluation.baselines import training
from mole_jax.evaluation.baselines.training import Curves
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, Record, Results

# Kinds of start that `fine_tuning` compares besides one for each learner: its trainings share the
# compiled function with Adam's.
FINE_TUNING_STARTS = 3


class AdamRate(NamedTuple):
    """Learning rates and how well they serve on training subsets."""

    rates: np.ndarray  # [rates]
    validation_loss: np.ndarray  # [rates]
    chosen: np.ndarray  # []


class AdamCurves(NamedTuple):
    """Adam from the starts of a split."""

    steps: np.ndarray  # [S]
    test_loss: np.ndarray  # [T, N, S]
    validation_loss: np.ndarray  # [T, N, S]
    test_score: np.ndarray  # [T, N] at the end
    seconds_per_network: np.ndarray  # []


def choose(context: EvalContext, split: str, results: Results) -> AdamRate:
    """Choose the rate with the lowest mean final validation loss on training subsets."""
    rates = np.array(context.evaluation["adam_rates"])
    episodes = context.choice
    starts = np.repeat(episodes.starts[:, :1], len(rates), axis=1)
    each = np.broadcast_to(rates, (len(episodes.tasks), len(rates)))
    curves = run(context, episodes.tasks, starts, each, context.key("adam"))
    loss = np.nan_to_num(curves.metrics["validation_loss"][:, :, -1].mean(0), nan=np.inf)
    return AdamRate(rates, loss, rates[np.argmin(loss)])


def from_starts(context: EvalContext, split: str, results: Results) -> AdamCurves:
    """Train with the chosen rate from the starts of a split."""
    episodes = context.splits[split]
    rates = np.full(episodes.shape, results.of(RATE).chosen, np.float32)
    curves = run(context, episodes.tasks, episodes.starts, rates, context.key("adam"))
    return AdamCurves(
        steps=curves.steps,
        test_loss=curves.metrics["test_loss"],
        validation_loss=curves.metrics["validation_loss"],
        test_score=curves.metrics["test_score"][..., -1],
        seconds_per_network=np.array(curves.seconds_per_network),
    )


def run(
    context: EvalContext, tasks: np.ndarray, starts: np.ndarray, rates: np.ndarray, key: jax.Array
) -> Curves:
    """Train from starts [T, M, D] with rates [T, M] on the training pool of tasks [T].

    Networks of a task share minibatches, which depend on the key and the task alone.
    """
    section = context.evaluation
    fine_tuned = FINE_TUNING_STARTS + max(len(context.others), 1)
    return training.train(
        context,
        training.recipe(context, section["curve_points"]),
        tasks,
        key,
        tasks,
        starts,
        rates,
        members=max(section["starts"], len(section["adam_rates"]), fine_tuned),
        # Two calls or more for the usual number of tasks: one of them is free of compilation.
        groups=min(context.config["zoo"]["subsets_per_group"], -(-section["s0_tasks"] // 2)),
    )


def _record(context: EvalContext, split: str, results: Results) -> Record:
    return {"adam_rate": float(results.of(RATE).chosen)}


RATE = Measure("adam_rate", AdamRate, choose, "choice", record=_record)
MEASURE = Measure("adam", AdamCurves, from_starts, needs=(RATE,))
