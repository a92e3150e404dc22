"""Adam on nothing but the support set: the same data that the learner is shown."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from mole_jax.evaluation.baselines import training
from mole_jax.evaluation.baselines.baseline import Baseline, Scores
from mole_jax.evaluation.baselines.training import Curves
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.measure import Measure, Record, Results, labelled

# Numbers of steps among which the best is chosen.
_POINTS = 12
_GROUPS = 52


class SupportTraining(NamedTuple):
    """Rates and numbers of steps, and how well they serve on training subsets."""

    rates: np.ndarray  # [rates]
    steps: np.ndarray  # [S]
    validation_loss: np.ndarray  # [rates, S]
    chosen: np.ndarray  # [] rate
    chosen_snapshot: np.ndarray  # [] position in steps
    chosen_steps: np.ndarray  # []


def choose(context: EvalContext, split: str, results: Results) -> SupportTraining:
    """Choose the rate and number of steps with the lowest mean validation loss on training subsets.

    Too many steps overfit a support set, and the number found here is the early stopping that
    someone with other data subsets at hand would use.
    """
    rates = np.array(context.evaluation["adam_rates"])
    loss = []
    for rate in rates:
        curves = run(context, context.choice, rate, context.key("adam_support"))
        loss.append(curves.metrics["validation_loss"].mean((0, 1)))  # [S]
    table = np.nan_to_num(np.array(loss), nan=np.inf)  # [rates, S]
    best_rate, best_step = np.unravel_index(np.argmin(table), table.shape)
    steps = curves.steps
    chosen = (rates[best_rate], np.array(best_step), steps[best_step])
    return SupportTraining(rates, steps, table, *chosen)


def from_starts(context: EvalContext, split: str, results: Results) -> Scores:
    """Train as chosen from the starts of a split."""
    choice = results.of(CHOSEN)
    curves = run(context, context.splits[split], choice.chosen, context.key("adam_support"))
    at = int(choice.chosen_snapshot)
    return Scores(curves.metrics["test_loss"][..., at], curves.metrics["test_score"][..., at])


def run(context: EvalContext, episodes: EpisodeGrid, rate: np.ndarray, key: jax.Array) -> Curves:
    """Train a network of every episode on its own support set: curves [T, N, S]."""
    n_tasks, n_starts = episodes.shape
    each = n_tasks * n_starts
    curves = training.train(
        context,
        training.recipe(context, _POINTS),
        np.repeat(episodes.tasks, n_starts),
        key,
        np.arange(each),
        episodes.starts.reshape(each, 1, -1),
        np.full((each, 1), rate, np.float32),
        members=1,
        groups=min(context.config["zoo"]["subsets_per_group"], _GROUPS),
        dataset=jax.tree.map(lambda x: x.reshape(each, *x.shape[2:]), episodes.support),
    )
    metrics = {name: value.reshape(n_tasks, n_starts, -1) for name, value in curves.metrics.items()}
    return Curves(curves.steps, metrics, curves.seconds_per_network)


def _record(context: EvalContext, split: str, results: Results) -> Record:
    choice = results.of(CHOSEN)
    return {
        "adam_support_rate": float(choice.chosen),
        "adam_support_steps": int(choice.chosen_steps),
    }


CHOSEN = Measure(
    "adam_support_training", SupportTraining, choose, "choice", applies=labelled, record=_record
)
MEASURE = Measure("adam_support", Scores, from_starts, needs=(CHOSEN,), applies=labelled)
BASELINE = Baseline(
    "Adam, support set only",
    "Ordinary training on nothing but the examples that MOLE is shown.",
    MEASURE,
)
