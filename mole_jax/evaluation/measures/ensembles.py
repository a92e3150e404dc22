"""Ensembles: what averaging predictions gains, with generated and with trained networks."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from mole_jax.evaluation import measure
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.cases import Cases
from mole_jax.evaluation.generated import predict
from mole_jax.evaluation.parts import Done, Found


def average(bench: Bench, split: str, done: Done) -> Found:
    """Test accuracy of networks alone and of their averaged probabilities, task by task.

    Generated networks of a task differ in start and noise and share one support set. The trained
    ones are the zoo's runs of that subset, at most as many as an ensemble has. `matched` is an
    ensemble of the first generated networks, as many as there are trained ones. Of a zoo of one
    task there is one ensemble.

    Returns:
        KIND_single, KIND_ensemble: [T]; n_KIND: []; KIND is generated, matched or adam.
    """
    which = bench.tasks_with_runs(split)[: bench.settings["ensemble_tasks"]]
    which = which[:1] if bench.one_task else which
    many = with_many_starts(bench, split, which, bench.settings["ensemble_size"])
    flat = predict(
        bench.predictors["diffusion"],
        many,
        float(done["prompt.diffusion"]["chosen"]),
        bench.key(f"ensembles {split}"),
    )
    runs = [bench.zoo.select(finite=True, subset=int(task)) for task in many.tasks]
    n_trained = min(*map(len, runs), bench.settings["ensemble_size"])
    trained = bench.zoo.parameters(np.concatenate([r[:n_trained] for r in runs]), [-1])
    trained = trained.reshape(len(runs), n_trained, -1)
    p = measure.probabilities(
        bench.family.network,
        bench.family.device_data,
        "test",
        np.concatenate([flat, trained], axis=1),
        many.tasks[:, None],
    )  # [T, E, n, K]
    ours, theirs = np.split(p, [flat.shape[1]], axis=1)
    kinds = {"generated": ours, "matched": ours[:, :n_trained], "adam": theirs}
    result: Found = {}
    for name, of_kind in kinds.items():
        single, together = _accuracies(bench, of_kind, many.tasks)
        result |= {
            f"{name}_single": single,
            f"{name}_ensemble": together,
            f"n_{name}": of_kind.shape[1],
        }
    return result


def with_many_starts(bench: Bench, split: str, which: np.ndarray, n: int) -> Cases:
    """The tasks at positions `which` with n starts each, all with a task's first support set.

    A start is a random network and belongs to no task: these are the starts of the split's cases,
    from the task's own on. Where there are fewer than n they repeat, and then differ in noise only.
    """
    cases, pool = bench.splits[split].first(which), bench.splits[split].starts
    every = pool.reshape(-1, pool.shape[-1])
    first = pool.shape[1] * which
    starts = every[(first[:, None] + np.arange(n)) % len(every)]  # [T, n, D]
    metric = bench.metric.of_measured(
        *measure.on_pool(
            bench.family.network,
            bench.family.device_data,
            bench.metric.pool,
            starts,
            cases.tasks[:, None],
        ),
        bench.family.score_unit,
    )
    support = jax.tree.map(
        lambda x: np.broadcast_to(x[:, :1], (len(which), n, *x.shape[2:])), cases.support
    )
    return dataclasses.replace(cases, starts=starts, start_metric=metric, support=support)


def _accuracies(bench: Bench, p: np.ndarray, tasks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean accuracy of networks alone, and that of each task's average: p [T, E, n, K] -> [T]."""
    single, together = [], []
    for own, row in zip(p, tasks, strict=True):
        labels, mask = measure.answers(bench.family.device_data, "test", int(row))
        single.append((own.argmax(-1) == labels)[:, mask].mean())
        together.append((own.mean(0).argmax(-1) == labels)[mask].mean())
    return np.array(single), np.array(together)
