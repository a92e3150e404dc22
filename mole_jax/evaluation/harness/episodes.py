"""Episodes: the networks to predict, task by task and start by start."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import rng
from mole_jax.tasks.environments.world import World
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.family import DeviceData, TaskFamily
from mole_jax.training.learner import Episodes
from mole_jax.zoo.prompt_metric import PromptMetric
from mole_jax.zoo.storage.reader import Zoo

# Support sets drawn per call: any number of episodes shares one compiled function.
_AT_ONCE = 64


@dataclasses.dataclass(frozen=True, eq=False)
class EpisodeGrid:
    """T tasks x N starts, each with a support set of its own.

    In a zoo of one task, T counts runs of it, with one start each.
    """

    tasks: np.ndarray  # [T] positions in the task table
    starts: np.ndarray  # [T, N, D]
    start_metric: np.ndarray  # [T, N] in the prompt metric
    support: Examples  # leaves [T, N, n, ...], NumPy
    world: World | None = None  # leaves [T, N], NumPy; policies only

    @property
    def shape(self) -> tuple[int, int]:
        """(T, N)."""
        return self.starts.shape[0], self.starts.shape[1]

    def flat(self) -> Episodes:
        """Return the episodes in a row, task by task: leaves [T * N, ...]."""
        n_tasks, n_starts = self.shape
        each = n_tasks * n_starts
        own = (self.support, self.starts, self.start_metric, self.world)
        rows = jax.tree.map(lambda x: x.reshape(each, *x.shape[2:]), own)
        support, starts, metric, world = rows
        tasks: Any = np.repeat(self.tasks, n_starts)
        return Episodes(tasks, support, starts, metric, world=world)

    def first(self, which: np.ndarray | None = None) -> EpisodeGrid:
        """Return the first start of every task, or of tasks at positions `which` [t]: [t, 1]."""
        at = slice(None) if which is None else which
        return dataclasses.replace(
            self,
            tasks=self.tasks[at],
            starts=self.starts[at, :1],
            start_metric=self.start_metric[at, :1],
            support=jax.tree.map(lambda x: x[at, :1], self.support),
            world=jax.tree.map(lambda x: x[at, :1], self.world),
        )


def of_runs(
    zoo: Zoo,
    family: TaskFamily,
    metric: PromptMetric,
    runs: np.ndarray,
    key: jax.Array,
    per_class: int,
) -> EpisodeGrid:
    """Return episodes that start where stored runs started.

    Args:
        zoo: where the runs are.
        family: its tasks.
        metric: the prompt metric.
        runs: [T, N] runs; each row belongs to one data subset.
        key: PRNG key; a run's number is folded in to draw its episode's support set.
        per_class: support examples of each class.
    """
    tasks = zoo.runs["subset"][runs[:, 0]]
    flat = runs.reshape(-1)
    size = family.network.spec.size
    each = np.repeat(tasks, runs.shape[1])
    support = _support_sets(family.device_data, each, flat, key, per_class)
    return EpisodeGrid(
        tasks=tasks,
        starts=zoo.parameters(flat, [0]).reshape(*runs.shape, size),
        start_metric=np.asarray(metric.of_runs(zoo, flat)[:, 0], np.float32).reshape(runs.shape),
        support=jax.tree.map(lambda x: x.reshape(*runs.shape, *x.shape[1:]), support),
        world=jax.tree.map(np.asarray, family.device_data.world(each.reshape(runs.shape))),
    )


def held_out_subsets(zoo: Zoo, tasks: np.ndarray, n_starts: int) -> np.ndarray:
    """Return the first runs of those held-out tasks [t] that have any: [T, n_starts]."""
    runs = np.flatnonzero(np.isin(zoo.runs["subset"], tasks) & (zoo.runs["split"] != "train"))
    return _first_of_each(zoo, runs, np.unique(zoo.runs["subset"][runs]), n_starts)


def held_out_runs(zoo: Zoo, n_tasks: int) -> np.ndarray:
    """Return one held-out run of each of the first training data subsets, [T, 1]: S0.

    For a zoo of one task, return its first held-out runs.
    """
    runs = zoo.select(split="S0")
    if len(zoo.schema.tasks) == 1:
        return runs[:n_tasks, None]
    return _first_of_each(zoo, runs, np.unique(zoo.runs["subset"][runs])[:n_tasks], 1)


def for_choices(zoo: Zoo, n_tasks: int) -> np.ndarray:
    """Return one training run of each of the last training data subsets, [T, 1].

    For a zoo of one task, return its last training runs.

    All tuning is done on these. They come from the opposite end of the task table to S0, and
    overlap with it only if there are too few training subsets.
    """
    runs = zoo.select(split="train", finite=True)
    if len(zoo.schema.tasks) == 1:
        return runs[-n_tasks:, None]
    return _first_of_each(zoo, runs, np.unique(zoo.runs["subset"][runs])[-n_tasks:], 1)


def fewer(episodes: EpisodeGrid, per_class: int, n_classes: int) -> EpisodeGrid:
    """Return the episodes with all but `per_class` support examples of each class masked."""
    mask = episodes.support.mask  # [T, N, n], class by class
    each = mask.shape[-1] // n_classes
    keep = np.arange(mask.shape[-1]) % each < per_class
    return dataclasses.replace(episodes, support=episodes.support._replace(mask=mask & keep))


def shuffled_tasks(n_classes: np.ndarray, seed: int) -> np.ndarray:
    """Draw for each task another one with as many classes, if there is one: [T].

    n_classes: [T], the number of classes of each task.
    """
    order = np.random.default_rng([seed, 0x5417]).permutation(len(n_classes))
    other = np.empty(len(n_classes), int)
    for k in np.unique(n_classes):
        alike = order[n_classes[order] == k]
        other[alike] = np.roll(alike, 1)
    return other


def _first_of_each(
    zoo: Zoo, runs: np.ndarray, subsets: Sequence[int] | np.ndarray, n: int
) -> np.ndarray:
    of = zoo.runs["subset"][runs]
    rows = [runs[of == subset] for subset in subsets]
    member = zoo.runs["member"]
    rows = [row[np.argsort(member[row], kind="stable")][:n] for row in rows]
    return np.array(rows, int).reshape(len(rows), n)


def _support_sets(
    data: DeviceData, tasks: np.ndarray, runs: np.ndarray, key: jax.Array, per_class: int
) -> Examples:
    """Return a support set for each of M runs: leaves [M, n, ...], NumPy."""
    chunks = []
    for first in range(0, len(runs), _AT_ONCE):
        rows = np.minimum(np.arange(first, first + _AT_ONCE), len(runs) - 1)
        drawn = _draw(per_class, data, jnp.asarray(tasks[rows]), jnp.asarray(runs[rows]), key)
        chunks.append(jax.tree.map(np.asarray, drawn))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(runs)], *chunks)


@functools.partial(jax.jit, static_argnums=0)
def _draw(
    per_class: int, data: DeviceData, tasks: jax.Array, runs: jax.Array, key: jax.Array
) -> Examples:
    def of_run(task: jax.Array, run: jax.Array) -> Examples:
        return data.support(task, rng.at(key, "support", run), per_class)

    return jax.vmap(of_run)(tasks, runs)
