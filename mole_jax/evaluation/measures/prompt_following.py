"""Whether networks follow the prompt that they are given."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mole_jax.evaluation.harness import evaluation_config, scoring, statistics
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.measure import Arrays, Measure, Record, Results
from mole_jax.evaluation.harness.prediction import predict

SETS = ("grid", "outside", "table")


class Followed(NamedTuple):
    """What was asked for and what was achieved, for the first start of every task.

    `*_metric` is in the prompt metric.
    """

    prompts: np.ndarray  # [T, P]
    set_of: np.ndarray  # [P] position in SETS
    test_metric: np.ndarray  # [T, P]
    test_loss: np.ndarray  # [T, P]
    test_score: np.ndarray  # [T, P]
    validation_metric: np.ndarray  # [T, P]
    validation_loss: np.ndarray  # [T, P]
    validation_score: np.ndarray  # [T, P]

    def only(self, *names: str) -> Followed:
        """Return the columns of some of the SETS."""
        columns = np.isin(self.set_of, [SETS.index(name) for name in names])
        return Followed(*(x[..., columns] for x in self))


def grid(context: EvalContext, episodes: EpisodeGrid) -> np.ndarray:
    """Return prompts from the best metric to the start's, evenly spaced: [T, N, P].

    The best is the median final metric of the training runs. `evaluation.prompt_range` can set
    another, and the share of the start's metric at which prompts end. Source: Peebles et al.,
    Learning to Learn with Generative Models of Neural Network Checkpoints (2022), section 4.
    """
    fraction = np.linspace(0, 1, context.evaluation["prompt_count"])
    asked = evaluation_config.prompt_range(context.config)
    best, share = asked or (context.training.median_final, 1.0)
    return best + fraction * (share * episodes.start_metric[..., None] - best)


def follow(context: EvalContext, split: str, results: Results) -> Followed:
    """Ask for three sets of prompts.

    `grid` runs from the zoo's final metrics to its starts, `outside` is better than anything in the
    zoo, and `table` holds a few round numbers.
    """
    episodes = context.splits[split].first()
    outside = np.array(context.evaluation["outside_prompts"])
    if context.prompt_metric.larger_is_better:
        outside = 1 / outside
    sets = (
        grid(context, episodes),
        context.training.best * outside,
        np.array(context.evaluation["table_prompts"]),
    )
    asked = np.concatenate(
        [np.broadcast_to(p, (*episodes.shape, p.shape[-1])) for p in sets], axis=-1
    )  # [T, 1, P]
    flat = predict(context, context.learner, episodes, asked, context.key(f"follow {split}"))
    achieved = []
    for pool in ("test", "validation"):
        loss, score = scoring.on_own_tasks(context.family, pool, flat, episodes.tasks)
        metric = context.prompt_metric.of_measured(loss, score, context.family.score_unit)
        achieved += [metric[:, 0], loss[:, 0], score[:, 0]]
    set_of = np.repeat(np.arange(len(SETS)), [p.shape[-1] for p in sets])
    return Followed(asked[:, 0], set_of, *achieved)


def _record(context: EvalContext, split: str, results: Results) -> Record:
    followed = results.of(MEASURE, split)
    inside, outside = followed.only("grid"), followed.only("outside")
    useful = _useful(context, context.splits[split].first().tasks, inside.prompts)
    return {
        # The grid runs from the best metric to the start's: it is what lies in the zoo's range.
        "prompt_alignment": _alignment(inside.prompts, inside.test_metric),
        "prompt_alignment_validation": _alignment(inside.prompts, inside.validation_metric),
        "alignment_to_guessing": _alignment(inside.prompts, inside.test_metric, useful),
        "alignment_outside": _alignment(outside.prompts, outside.test_metric),
        "achieved_by_prompt": _by_prompt(followed.only("table"), context.family.score),
    }


def _useful(context: EvalContext, tasks: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    """Return which prompts [T, P] ask for better than guessing: [T, P].

    A fresh start is worse than guessing, and so are some networks that it could be asked for.
    """
    family, metric = context.family, context.prompt_metric
    guessed = metric.of_measured(
        family.chance_loss(tasks), family.chance_score(tasks), family.score_unit
    )[:, None]
    useful: np.ndarray = prompts > guessed if metric.larger_is_better else prompts < guessed
    return useful


def _alignment(
    asked: np.ndarray, achieved: np.ndarray, counted: np.ndarray | bool = True
) -> Record | None:
    """Return how closely prompts [T, P] are followed; None where they have no spread to explain."""
    counts = np.broadcast_to(counted, asked.shape)
    lowest = np.where(counts, asked, np.inf).min(axis=1)
    highest = np.where(counts, asked, -np.inf).max(axis=1)
    if not np.all(highest - lowest > 1e-6):
        return None
    return statistics.prompt_alignment(asked, achieved, counts)


def _by_prompt(table: Followed, score: str) -> Record:
    return {
        f"{prompt:g}": {
            "test_loss": float(table.test_loss[:, i].mean()),
            "test_loss_median": float(np.median(table.test_loss[:, i])),
            "validation_loss": float(table.validation_loss[:, i].mean()),
            f"test_{score}": float(table.test_score[:, i].mean()),
        }
        for i, prompt in enumerate(table.prompts[0])
    }


def _arrays(context: EvalContext, split: str, results: Results) -> Arrays:
    # Each network has its own grid, since its start has its own loss; the figure has one grid.
    shown = results.of(MEASURE, split).only("grid", "table")
    prompts = np.median(shown.prompts, axis=0)
    order = np.argsort(prompts, kind="stable")
    return {
        "prompts": prompts[order],
        "achieved_loss": shown.test_metric[:, order],
        "zoo_loss_range": np.array([context.training.lowest, context.training.highest]),
    }


MEASURE = Measure("prompt_following", Followed, follow, record=_record, arrays=_arrays)
