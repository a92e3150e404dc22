"""Train what a zoo lacks, group of data subsets by group, and write it."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from mole_jax.core import compat
from mole_jax.core.console.progress import Progress
from mole_jax.core.devices import distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.population import subset_runs
from mole_jax.population.hyperparameters import OPTIMIZERS, Hyperparameters
from mole_jax.population.member import History
from mole_jax.tasks.family import TaskFamily
from mole_jax.zoo.making import schedule_groups
from mole_jax.zoo.making.double_buffered import double_buffered
from mole_jax.zoo.making.schedule_groups import Group
from mole_jax.zoo.storage import usable
from mole_jax.zoo.storage.reader import open_zoo
from mole_jax.zoo.storage.schema import RunBatch, finite_runs
from mole_jax.zoo.storage.store import ZooWriter


def fill(config: Mapping[str, Any], family: TaskFamily, writer: ZooWriter, members: int) -> None:
    """Train and store what a zoo lacks, until every data subset has `members` runs.

    While a group is fetched from the devices and written, the next one is trained. A kill leaves
    the groups that were committed.

    Args:
        config: the zoo's.
        family: its tasks.
        writer: the zoo, opened by every process.
        members: of each data subset, in the end.

    Raises:
        UserError: when no run to train on can be used in the end.
    """
    zoo = open_zoo(writer.path)
    process = distributed.index()
    part = config["zoo"].get("members_per_group", 0)
    todo = schedule_groups.schedule(
        np.bincount(zoo.runs["subset"], minlength=len(family.subsets)),
        members,
        config["zoo"]["subsets_per_group"],
        n_processes=distributed.count(),
        runs_per_shard=writer.schema.runs_per_shard,
        members_per_group=part,
    )
    ends = [round_[-1].row + round_[-1].n_runs for round_ in todo]
    total = ends[-1] if ends else zoo.n_runs
    if process == 0:
        writer.reserve(total)
    distributed.barrier()
    if process != 0:
        writer = ZooWriter.open(writer.path)  # with arrays of their new length

    mesh = mesh_lib.local_mesh()
    group = 1 if part else min(config["zoo"]["subsets_per_group"], len(family.subsets))
    base = config["population"]["members"]
    # All runs, not only those that are left: a resumed zoo then finds the same measurement.
    each = -(-len(family.subsets) * base // distributed.count())
    together = min(part or base, base)
    at_once = (
        subset_runs.members_at_once(config, family, mesh, group, together, each) if todo else 0
    )
    failed = zoo.n_runs - len(zoo.select(finite=True))  # before a resume
    began, waited = time.monotonic(), 0.0
    work = double_buffered(
        [round_[process] if process < len(round_) else None for round_ in todo],
        begin=functools.partial(_begin, config, family, mesh, at_once),
        wait=jax.block_until_ready,
        finish=functools.partial(_finish, config, family, writer),
    )
    with (
        Progress("zoo", total=total, unit="runs", initial=zoo.n_runs) as bar,
        contextlib.closing(work) as results,
    ):
        done = zoo.n_runs
        for (_, stored, seconds), end in zip(results, ends, strict=True):
            distributed.barrier()  # all have written theirs
            if process == 0:
                writer.commit(end)
            waited += seconds
            failed += stored.failed
            bar.update(end - done, failed=failed, **stored.means)
            done = end
    if process == 0 and todo:
        seconds = time.monotonic() - began
        share = waited / seconds
        print(
            f"zoo: training waited {waited:.1f} s of {seconds:.0f} s ({share:.1%}) for the writer",
            flush=True,
        )
    made = open_zoo(writer.path)
    usable.check(made)
    if process == 0:
        for line in usable.lacking(made):
            print(f"zoo: {line}", flush=True)


def as_batch(
    config: Mapping[str, Any],
    family: TaskFamily,
    subsets: np.ndarray,
    hyper: Hyperparameters,
    history: History,
    members: np.ndarray | None = None,
) -> RunBatch:
    """Lay out trained members as rows of the zoo.

    Runs with any NaN or infinity are marked as not finite, and so are those with any weight beyond
    +- `population.max_weight`, where that is above 0.

    Arguments are the arguments and results of `train_subsets`. Parameters keep their type.
    """
    population = config["population"]
    members = np.arange(population["members"]) if members is None else np.asarray(members)

    def rows(x: jax.Array) -> np.ndarray:  # [G, M, ...] -> [G * M, ...]
        return np.asarray(x).reshape(-1, *x.shape[2:])

    parameters = rows(history.parameters)
    metrics = {name: rows(values) for name, values in history.metrics.items()}
    finite = finite_runs(parameters)
    if limit := compat.get_from(population, "population", "max_weight"):
        # Two numbers of each run: absolute values would need a copy of all parameters.
        finite &= (parameters.max((1, 2)) <= limit) & (parameters.min((1, 2)) >= -limit)
    for values in metrics.values():
        finite &= finite_runs(values)
    of = np.array([family.subsets[i].split for i in subsets])[:, None]  # [G, 1]
    seen = subset_runs.trained_on(family, subsets, members, population)  # [G, M]
    splits = np.where(of == "train", np.where(seen, "train", "S0"), of)
    optimizers = np.array(OPTIMIZERS)[rows(hyper.optimizer)]
    return RunBatch(
        parameters=parameters,
        metrics=metrics,
        subset=np.repeat(subsets, len(members)),
        split=splits.reshape(-1),
        member=np.tile(members, len(subsets)),
        seed=np.full(len(parameters), config["seed"]),
        finite=finite,
        hyperparameters={
            "learning_rate": rows(hyper.learning_rate),
            "weight_decay": rows(hyper.weight_decay),
            "init_scale": rows(hyper.init_scale),
            "optimizer": optimizers,
        },
    )


class _Stored(NamedTuple):
    """A group that has been written, for the progress line."""

    failed: int
    means: dict[str, float]  # of its finite runs, at the last snapshot


def _begin(
    config: Mapping[str, Any],
    family: TaskFamily,
    mesh: jax.sharding.Mesh,
    at_once: int,
    group: Group | None,
) -> tuple[Hyperparameters, History] | None:
    """Dispatch the training of a group, and the copying of its results to the host."""
    if group is None:
        return None
    subsets, members = np.array(group.subsets), np.array(group.members)
    hyper, history = subset_runs.train_subsets(config, family, subsets, mesh, members, at_once)
    # Rounded before it is fetched, and before anything else is dispatched to the devices.
    history = history._replace(parameters=history.parameters.astype(config["zoo"]["dtype"]))
    for leaf in jax.tree.leaves((hyper, history)):
        leaf.copy_to_host_async()
    return hyper, history


def _finish(
    config: Mapping[str, Any],
    family: TaskFamily,
    writer: ZooWriter,
    group: Group | None,
    trained: tuple[Hyperparameters, History] | None,
) -> _Stored:
    """Fetch the results of a group, and write them to their place in the zoo."""
    if group is None or trained is None:
        return _Stored(0, {})
    subsets, members = np.array(group.subsets), np.array(group.members)
    batch = as_batch(config, family, subsets, *trained, members)
    writer.write(group.row, batch)
    last = {
        name: np.asarray(batch.metrics[name])[batch.finite, -1]
        for name in ("test_loss", f"test_{family.score}")
    }
    means = {name: float(np.mean(x)) if x.size else float("nan") for name, x in last.items()}
    return _Stored(int(np.sum(~batch.finite)), means)
