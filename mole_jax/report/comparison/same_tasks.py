"""Whether two runs were evaluated on the same tasks with the same support sets, by their records.

A task is one row of a zoo's task table. A support set depends on the seed, on the number of the
run that its episode starts from, and on the images: all of these are recorded, so nothing is drawn
again here. The starts of episodes may differ: networks of two kinds share none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.program.config import flatten
from mole_jax.core.storage.files import to_json
from mole_jax.evaluation.harness import episodes
from mole_jax.report import findings
from mole_jax.report.comparison.recorded_run import Run
from mole_jax.tasks.subsets import DataSubset
from mole_jax.zoo.storage.reader import Zoo, open_zoo


class Conditions(NamedTuple):
    """The conditions under which a split was evaluated; None is unknown.

    Attributes:
        metric: what is scored, such as "accuracy".
        seed: of the experiment.
        shape: T tasks, N networks each.
        problem: why nothing more is known; "" if it is known.
        tasks: what identifies each of them, its id first.
        images: hashes of all images, of the support pool and of the test pool.
        support_per_class: examples of each class in a support set.
        judged_on: episodes in which a policy is measured.
        runs: [T, N] numbers of the runs that episodes start from.
    """

    metric: str
    seed: Any
    shape: tuple[int, int]
    problem: str = ""
    tasks: tuple[tuple[Any, ...], ...] = ()
    images: tuple[Any, ...] = ()
    support_per_class: Any = None
    judged_on: Any = None
    runs: tuple[tuple[int, ...], ...] = ()


def conditions(run: Run) -> dict[str, Conditions]:
    """Return the conditions of each split of a run, from its evaluation.json and its zoo.

    For a split like S3-NAME or S4-24, the task table may not distinguish its tasks from others of
    its kind; conditions then cover all of that kind.
    """
    flat = flatten(run.config)
    zoo, problem = _zoo(run)
    found = {}
    for split, result in run.splits.items():
        n_tasks = int(result["n_tasks"])
        own = Conditions(
            metric=findings.metric(result),
            seed=flat.get("seed"),
            shape=(n_tasks, int(result["n_networks"]) // max(n_tasks, 1)),
            problem=problem,
        )
        found[split] = own if zoo is None else _of_zoo(own, zoo, flat, split, run.name)
    return found


def disagreement(first: Conditions, second: Conditions) -> str:
    """Return in a few words why scores cannot be paired, "" if they can."""
    if first.metric != second.metric:
        return f"different scores ({first.metric}, {second.metric})"
    if first.seed != second.seed:
        return f"different seeds ({first.seed}, {second.seed})"
    for what, a, b in zip(("tasks", "networks per task"), first.shape, second.shape, strict=True):
        if a != b:
            return f"different numbers of {what} ({a}, {b})"
    if first.problem or second.problem:
        return first.problem or second.problem
    if first.tasks != second.tasks:
        return _other_tasks(first.tasks, second.tasks)
    if first.images != second.images:
        return "different images, or different ones in the pools"
    if first.judged_on != second.judged_on:
        return f"different numbers of test episodes ({first.judged_on}, {second.judged_on})"
    if first.support_per_class != second.support_per_class:
        sizes = f"({first.support_per_class}, {second.support_per_class} examples per class)"
        return f"different support sets {sizes}"
    if first.runs != second.runs:
        return "different support sets: they are drawn by run number, and these differ"
    return ""


def _zoo(run: Run) -> tuple[Zoo | None, str]:
    """Return a run's zoo, or why there is none to read."""
    if run.workdir is None:
        return None, f"only the evaluation.json of {run.name} is given, not its workdir"
    try:
        return open_zoo(run.workdir / "zoo"), ""
    except UserError as problem:
        return None, f"the zoo of {run.name} cannot be read ({problem})"


def _of_zoo(known: Conditions, zoo: Zoo, flat: dict[str, Any], split: str, name: str) -> Conditions:
    """Return the conditions with what the zoo knows: tasks, images and runs."""
    wanted = flat.get("evaluation.s0_tasks" if split == "S0" else "evaluation.starts")
    if wanted is None:
        return known._replace(problem=f"{name} has no config on record")
    runs = _runs(zoo, split, wanted)
    if runs is None or not _fit(split, runs.shape, known.shape):
        return known._replace(problem=f"the zoo of {name} is not the one it was evaluated on")
    pools = zoo.schema.splits.get("pools", {})
    return known._replace(
        tasks=tuple(_content(zoo.schema.tasks[i]) for i in zoo.runs["subset"][runs[:, 0]]),
        images=(
            zoo.schema.provenance.get("images_sha256"),
            *(to_json(pools.get(pool)) for pool in ("support", "test")),
        ),
        support_per_class=flat.get("data.support_per_class"),
        judged_on=flat.get("population.ppo.evaluation_episodes"),
        runs=tuple(tuple(row) for row in runs.tolist()),
    )


def _runs(zoo: Zoo, split: str, wanted: int) -> np.ndarray | None:
    """Return the numbers [T, N] of the runs that a split's episodes start from.

    They are found as the evaluate stage does; None if the zoo has too few of them.
    """
    if split == "S0":
        return episodes.held_out_runs(zoo, wanted)
    of_split = _is_of(split)
    held_out = np.flatnonzero([of_split(task) for task in zoo.schema.tasks])
    try:
        return episodes.held_out_subsets(zoo, held_out, wanted)
    except ValueError:  # rows of different lengths
        return None


def _fit(split: str, found: tuple[int, ...], evaluated: tuple[int, int]) -> bool:
    """Return whether the zoo has the tasks and networks that were evaluated.

    For a split like S3-NAME, the zoo's are those of all splits of its kind.
    """
    as_many = found[0] >= evaluated[0] if "-" in split else found[0] == evaluated[0]
    return as_many and found[1] == evaluated[1]


def _is_of(split: str) -> Callable[[DataSubset], bool]:
    """Return a function that says whether a task is of a split, as far as its record shows.

    It does not show the data set of S3-NAME, nor in older zoos the network.
    """
    code, _, which = split.partition("-")
    networks = ("", which) if code == "S4" else None
    return lambda task: task.split == code and (networks is None or task.network in networks)


def _content(task: DataSubset) -> tuple[Any, ...]:
    """Return what identifies a task; its number of training images does not."""
    return task.id, task.classes, task.parameters, task.transformation, task.network


def _other_tasks(first: tuple[Any, ...], second: tuple[Any, ...]) -> str:
    a, b = ({content[0] for content in own} for own in (first, second))
    if a == b:
        return "different tasks of the same names, or in another order"
    return f"different tasks ({len(a & b)} of {len(a)} names are the same)"
