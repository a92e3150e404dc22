"""Does the learner use its start? Updates of trained starts, how good they are and where they lead.

The starts for each task: a fresh network; a run of the task halfway through its training, and at
its end; the final network of another task; a network trained on the support set alone; and the
learner's own answer. An update is worth something if it is better than both its start and the
update of a fresh start.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from mole_jax import representation
from mole_jax.evaluation.baselines import adam, adam_support
from mole_jax.evaluation.harness import scoring, statistics
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import fixed_prompt, generated
from mole_jax.representation import alignment

# Points between two networks at which the loss is measured.
_BETWEEN = (0.25, 0.5, 0.75)


class Starts(NamedTuple):
    """S kinds of starts of T tasks, the fresh one first; the scores are shares of 1."""

    kinds: np.ndarray  # [S]
    start_loss: np.ndarray  # [S, T] on the test pool
    start_score: np.ndarray  # [S, T]
    loss: np.ndarray  # [S, T] of the update
    score: np.ndarray  # [S, T]
    moved: np.ndarray  # [S, T] distance to the update, units matched, over the fresh start's
    barrier: np.ndarray  # [S, T] how far the loss on the line between them exceeds both ends


def measure(context: EvalContext, split: str, results: Results) -> Starts:
    """Update one start of each kind and task, at the fixed prompt."""
    which = context.tasks_with_runs(split)
    fresh = context.splits[split].first(which)
    prompt, key = fixed_prompt.of(context, results), context.key("informative starts")
    rows, apart = [], np.ones(len(which))
    for kind, starts in _starts(context, split, which, results).items():
        episodes = fresh if kind == "fresh" else _from(context, fresh, starts)
        flat = predict(context, context.learner, episodes, prompt, key)
        found = _judged(context, episodes.tasks, episodes.starts, flat)
        if kind == "fresh":
            apart = found[4]
        rows.append((kind, *found[:4], found[4] / apart, found[5]))
    return Starts(*(np.array(x) for x in zip(*rows, strict=True)))


def _starts(
    context: EvalContext, split: str, which: np.ndarray, results: Results
) -> dict[str, np.ndarray]:
    """Return the starts by kind: [T, D]."""
    zoo, tasks = context.zoo, context.splits[split].tasks[which]
    runs = np.array([zoo.select(finite=True, subset=int(task))[0] for task in tasks])
    last = len(zoo.steps) - 1
    found = {
        "fresh": context.splits[split].starts[which, 0],
        "half trained": zoo.parameters(runs, [last // 2])[:, 0],
        "trained": zoo.parameters(runs, [last])[:, 0],
        "of another task": zoo.parameters(np.roll(runs, 1), [last])[:, 0],
        "its own answer": results.of(generated.MEASURE, split).parameters[which, 0],
    }
    if results.has(adam_support.MEASURE, split):
        found["support set only"] = results.of(adam_support.MEASURE, split).parameters[which, 0]
    return {kind: np.nan_to_num(flat) for kind, flat in found.items()}


def _from(context: EvalContext, episodes: EpisodeGrid, starts: np.ndarray) -> EpisodeGrid:
    """Return the episodes [T, 1] with other starts [T, D], and measure these."""
    fitted = context.learners[context.learner].trained.scales.fitted
    starts = representation.in_basis(context.config, context.family.network, fitted, starts)
    starts = starts[:, None]
    found = scoring.on_own_tasks(context.family, context.prompt_metric.pool, starts, episodes.tasks)
    metric = context.prompt_metric.of_measured(*found, context.family.score_unit)
    return dataclasses.replace(episodes, starts=starts, start_metric=np.asarray(metric, np.float32))


def _judged(
    context: EvalContext, tasks: np.ndarray, starts: np.ndarray, flat: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return losses and scores of starts and updates, their distances and barriers: [T] each."""
    network = context.family.network
    matched = np.stack(
        [
            alignment.align(network, after, before) if np.isfinite(after).all() else after
            for before, after in zip(starts[:, 0], flat[:, 0], strict=True)
        ]
    )[:, None]
    line = [starts + share * (matched - starts) for share in _BETWEEN]
    every = np.concatenate([starts, flat, *line], axis=1)  # [T, 2 + points, D]
    loss, score = scoring.on_own_tasks(context.family, "test", every, tasks)
    ends = loss[:, :2].max(axis=1)
    return (
        loss[:, 0],
        score[:, 0],
        loss[:, 1],
        score[:, 1],
        np.linalg.norm((matched - starts)[:, 0], axis=-1),
        np.maximum(loss[:, 2:].max(axis=1) - ends, 0.0),
    )


def _record(context: EvalContext, split: str, results: Results) -> Record:
    """Record for each kind how good start and update are, and the update's gains."""
    found, n_boot = results.of(MEASURE), context.evaluation["bootstrap"]
    curves = results.of(adam.MEASURE, context.main_split)
    which = context.tasks_with_runs(context.main_split)

    def worth(loss: np.ndarray) -> float:
        curve = curves.test_loss[which, :1]
        return statistics.equivalent_steps(curve, curves.steps, loss[:, None])["median"]

    record: Record = {}
    for i, kind in enumerate(found.kinds.tolist()):
        over_start, of_start = statistics.paired_gain(
            found.score[i][:, None], found.start_score[i][:, None], n_boot=n_boot
        )
        over_fresh, of_fresh = statistics.paired_gain(
            found.score[i][:, None], found.score[0][:, None], n_boot=n_boot
        )
        record[kind] = {
            "start": float(found.start_score[i].mean()),
            "update": float(found.score[i].mean()),
            "gain_over_start": over_start,
            "gain_over_start_ci95": list(of_start),
            "gain_over_fresh": over_fresh,
            "gain_over_fresh_ci95": list(of_fresh),
            "adam_steps_of_start": worth(found.start_loss[i]),
            "adam_steps_of_update": worth(found.loss[i]),
            "moved": float(np.median(found.moved[i])),
            "barrier": float(np.median(found.barrier[i])),
        }
    return {"informative_starts": record}


MEASURE = Measure(
    "informative_starts",
    Starts,
    measure,
    "main split",
    needs=(fixed_prompt.MEASURE, generated.MEASURE, adam.MEASURE),
    likes=(adam_support.MEASURE,),
    record=_record,
)
