"""Ensembles: what averaging predictions gains, with generated and with trained networks."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import numpy as np

from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.measure import Measure, Record, Results, labelled
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import fixed_prompt

# `matched` is an ensemble of the first generated networks, as many as there are trained ones.
KINDS = ("generated", "matched", "adam")


class Ensembles(NamedTuple):
    """Test accuracy of networks alone and of their averaged probabilities, by KINDS."""

    single: np.ndarray  # [kinds, T] mean of the networks
    together: np.ndarray  # [kinds, T]
    size: np.ndarray  # [kinds] networks


def average(context: EvalContext, split: str, results: Results) -> Ensembles:
    """Make ensembles task by task.

    Generated networks of a task differ in start and noise and share one support set. The trained
    ones are the zoo's runs of that subset, at most as many as an ensemble has. A zoo of one task
    gives one ensemble.
    """
    which = context.tasks_with_runs(split)[: context.evaluation["ensemble_tasks"]]
    which = which[:1] if context.one_task else which
    many = with_many_starts(context, split, which, context.evaluation["ensemble_size"])
    prompt, key = fixed_prompt.of(context, results), context.key(f"ensembles {split}")
    flat = predict(context, context.learner, many, prompt, key)
    runs = [context.zoo.select(finite=True, subset=int(task)) for task in many.tasks]
    n_trained = min(*map(len, runs), context.evaluation["ensemble_size"])
    trained = context.zoo.parameters(np.concatenate([r[:n_trained] for r in runs]), [-1])
    trained = trained.reshape(len(runs), n_trained, -1)
    p = scoring.probabilities(
        context.family.network,
        context.family.device_data,
        "test",
        np.concatenate([flat, trained], axis=1),
        many.tasks[:, None],
    )  # [T, E, n, K]
    ours, theirs = np.split(p, [flat.shape[1]], axis=1)
    kinds = (ours, ours[:, :n_trained], theirs)
    single, together = zip(*(_accuracies(context, p, many.tasks) for p in kinds), strict=True)
    return Ensembles(np.stack(single), np.stack(together), np.array([p.shape[1] for p in kinds]))


def with_many_starts(context: EvalContext, split: str, which: np.ndarray, n: int) -> EpisodeGrid:
    """Return the tasks at positions `which` with n starts each, all on a task's first support set.

    A start is a random network and belongs to no task. These are starts of the split's episodes,
    beginning with the task's own; starts of tasks with fewer classes are left out. If there are
    fewer than n they repeat, and then differ in noise only.
    """
    episodes, pool = context.splits[split].first(which), context.splits[split].starts
    every = pool.reshape(-1, pool.shape[-1])
    sizes = np.repeat(context.family.classes_of_tasks[context.splits[split].tasks], pool.shape[1])
    rows = []
    for first in pool.shape[1] * which:
        enough = np.flatnonzero(sizes >= sizes[first])
        at = np.searchsorted(enough, first) + np.arange(n)
        rows.append(enough[at % len(enough)])
    starts = every[np.array(rows)]  # [T, n, D]
    metric = context.prompt_metric.of_measured(
        *scoring.on_own_tasks(context.family, context.prompt_metric.pool, starts, episodes.tasks),
        context.family.score_unit,
    )
    support = jax.tree.map(
        lambda x: np.broadcast_to(x[:, :1], (len(which), n, *x.shape[2:])), episodes.support
    )
    return dataclasses.replace(episodes, starts=starts, start_metric=metric, support=support)


def _accuracies(
    context: EvalContext, p: np.ndarray, tasks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean accuracy of networks alone, and that of each task's average, each [T].

    p: [T, E, n, K] probabilities.
    """
    single, together = [], []
    for own, row in zip(p, tasks, strict=True):
        labels, mask = scoring.answers(context.family.device_data, "test", int(row))
        single.append((own.argmax(-1) == labels)[:, mask].mean())
        together.append((own.mean(0).argmax(-1) == labels)[mask].mean())
    return np.array(single), np.array(together)


def _record(context: EvalContext, split: str, results: Results) -> Record:
    single, together, size = results.of(MEASURE)
    generated, matched, adam = (float(x) for x in (together - single).mean(1))
    summary = {
        "generated_gain": generated,
        "generated_gain_at_n_adam": matched,
        "adam_gain": adam,
        "generated_accuracy": float(together[KINDS.index("generated")].mean()),
        "adam_accuracy": float(together[KINDS.index("adam")].mean()),
        "n_generated": int(size[KINDS.index("generated")]),
        "n_adam": int(size[KINDS.index("adam")]),
        "n_tasks": single.shape[1],
    }
    return {"ensembles": summary}


MEASURE = Measure(
    "ensembles",
    Ensembles,
    average,
    "main split",
    needs=(fixed_prompt.MEASURE,),
    applies=labelled,
    record=_record,
)
