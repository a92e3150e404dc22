"""Does the learner use its conditions? Swap each for another network's and see what is lost."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import numpy as np

from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import EpisodeGrid, shuffled_tasks
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import fixed_prompt, prompt_following


class Swapped(NamedTuple):
    """What is reached on the test pool with each of CONDITIONS swapped, and with none."""

    right_loss: np.ndarray  # [T, 1]
    right_score: np.ndarray  # [T, 1]
    loss: np.ndarray  # [conditions, T, 1]
    score: np.ndarray  # [conditions, T, 1]


CONDITIONS = ("support", "target_metric", "start")


def swap(context: EvalContext, split: str, results: Results) -> Swapped:
    """Predict at the fixed prompt, with the right conditions and with one swapped.

    support: the support set of another task with as many classes. target_metric: a random one of
    the grid's prompts in place of the fixed one. start: that other task's start, with its loss.
    Noise is the same for all, and networks are always tested on their own task.
    """
    episodes = context.splits[split].first()
    fixed = fixed_prompt.of(context, results)
    n_classes = context.family.classes_of_tasks[episodes.tasks]
    other = shuffled_tasks(n_classes, context.config["seed"])
    support = jax.tree.map(lambda x: x[other], episodes.support)
    starts, metric = episodes.starts[other], episodes.start_metric[other]

    def reached(
        swapped: EpisodeGrid, target: np.ndarray | float | None
    ) -> tuple[np.ndarray, np.ndarray]:
        key = context.key(f"conditions {split}")
        flat = predict(context, context.learner, swapped, target, key)
        return scoring.on_own_tasks(context.family, "test", flat, episodes.tasks)

    right = reached(episodes, fixed)
    of_condition = (
        reached(dataclasses.replace(episodes, support=support), fixed),
        reached(episodes, _random_prompts(context, episodes)),
        reached(dataclasses.replace(episodes, starts=starts, start_metric=metric), fixed),
    )
    return Swapped(*right, *(np.stack(x) for x in zip(*of_condition, strict=True)))


def _random_prompts(context: EvalContext, episodes: EpisodeGrid) -> np.ndarray:
    """Draw for each episode a prompt from its grid: [T, N]."""
    grid = prompt_following.grid(context, episodes)  # [T, N, P]
    rng = np.random.default_rng([context.config["seed"], 0xC04D])
    pick = rng.integers(grid.shape[-1], size=episodes.shape)
    return np.take_along_axis(grid, pick[..., None], axis=-1)[..., 0]


def _record(context: EvalContext, split: str, results: Results) -> Record:
    if len(context.splits[split].tasks) < 2:
        return {}  # there is no other task to take a support set and a start from
    found = results.of(MEASURE, split)
    score = [float(found.right_score.mean() - score.mean()) for score in found.score]
    loss = [float(loss.mean() - found.right_loss.mean()) for loss in found.loss]
    return {
        "condition_use_gap": dict(zip(CONDITIONS, score, strict=True)),
        "condition_use_gap_loss": dict(zip(CONDITIONS, loss, strict=True)),
    }


MEASURE = Measure("conditions", Swapped, swap, needs=(fixed_prompt.MEASURE,), record=_record)
