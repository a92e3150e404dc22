"""A live zoo: new runs replace the oldest during meta-training.

Training draws from a buffer of runs on the device. It begins with the training runs of the stored
zoo, which evaluation compares with. New members of the training data subsets follow, group by
group, in an order that the seed fixes; they are stored nowhere. The contents of the buffer depend
on the config, the zoo and the step alone. So a resumed training trains the runs of its buffer
again, and continues as if it had not been stopped.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mole_jax.core import compat, rng
from mole_jax.core.devices import distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.population import subset_runs
from mole_jax.tasks.family import TaskFamily
from mole_jax.training.data import TrainingRuns
from mole_jax.training.pairs import ZooArrays
from mole_jax.zoo.prompt_metric import PromptMetric


def check(config: Mapping[str, Any], family: TaskFamily) -> None:
    """Raise UserError where the keys of a live zoo are inconsistent."""
    section, population = config["zoo"], config["population"]
    if not section["live"]:
        return
    if compat.get(config, "representation.align"):
        raise UserError(
            "representation.align brings the runs of a stored zoo into one basis, but zoo.live "
            "adds new ones: turn one of them off"
        )
    dispatch, every = config["training"]["steps_per_dispatch"], section["live_every"]
    if every < 1 or every % dispatch:
        raise UserError(
            f"zoo.live_every={every} must be a positive multiple of "
            f"training.steps_per_dispatch={dispatch}: runs are replaced between dispatches"
        )
    n_subsets = len(family.indices("train"))
    if not 1 <= section["live_refresh"] <= n_subsets:
        raise UserError(
            f"zoo.live_refresh={section['live_refresh']} must lie in 1..{n_subsets}, the number of "
            "training data subsets: at most one run of each is trained at a time"
        )
    stored = n_subsets * (population["members"] - population["held_out_members"])
    if section["live_runs"] and section["live_runs"] < stored:
        raise UserError(
            f"zoo.live_runs={section['live_runs']} is less than the {stored} training runs of "
            "the stored zoo: raise it, set it to 0 for the same number, or lower "
            "population.members"
        )
    if section["placement"] not in ("auto", "device"):
        raise UserError(
            f"zoo.placement={section['placement']!r}: a live zoo must be on the device; set it to "
            "'auto' or turn zoo.live off"
        )
    values = max(section["live_runs"], stored) * population["snapshots"] * family.network.spec.size
    if 0 < section["memory_gb"] * 2**30 < 4 * values:
        raise UserError(
            f"zoo.memory_gb={section['memory_gb']}: the buffer of a live zoo takes "
            f"{4 * values / 2**30:.3g} GiB; raise it, or lower zoo.live_runs or population.members"
        )
    if distributed.count() > 1:
        raise UserError(
            f"zoo.live is for one process, but there are {distributed.count()}: turn it off or "
            "leave --distributed out"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class LiveSchedule:
    """Which runs are in the buffer; they are trained in groups of `refresh`."""

    seed: int
    subsets: np.ndarray  # [T] training data subsets, positions in the task table
    stored: int  # runs that the buffer begins with
    capacity: int  # R
    refresh: int  # F
    every: int  # steps
    first_member: int  # the first member number that no stored run has

    def made(self, step: int) -> int:
        """Return how many groups have been trained before a step.

        Groups that fill the buffer are trained before step 0.
        """
        return -(-(self.capacity - self.stored) // self.refresh) + step // self.every

    def group(self, number: int) -> tuple[np.ndarray, int]:
        """Return the data subsets [F] of a group, and their new member's number.

        Each round goes once through the training data subsets, in a new order, and leaves out a
        remainder that is too small for a group. So no run comes twice.
        """
        round_, part = divmod(number, len(self.subsets) // self.refresh)
        order = self.order(f"round {round_}", len(self.subsets))
        chosen = order[part * self.refresh : (part + 1) * self.refresh]
        return self.subsets[chosen], self.first_member + round_

    def places(self, number: int) -> np.ndarray:
        """Return the places [F] in the buffer for the runs of a group: those of the oldest."""
        first = self.stored + number * self.refresh
        return (first + np.arange(self.refresh)) % self.capacity

    def order(self, name: str, n: int) -> np.ndarray:
        """Return a permutation [n] that depends on the seed and the name."""
        key = rng.named(rng.named(rng.key(self.seed), "live"), name)
        return np.asarray(jax.random.permutation(key, n))


@dataclasses.dataclass(frozen=True, eq=False)
class LiveZoo:
    """What a live zoo is made from; `runs` are the stored ones, with their parameters on the host.

    Each device of the meta-model's mesh trains `at_once` members at a time.
    """

    config: Mapping[str, Any]
    family: TaskFamily
    runs: TrainingRuns
    schedule: LiveSchedule
    at_once: int

    def like(self, mesh: Mesh) -> ZooArrays:
        """Return the buffer as shapes with shardings."""
        n, (_, n_snapshots) = self.schedule.capacity, self.runs.arrays.metric.shape
        size = self.family.network.spec.size

        def array(dtype: str, *shape: int) -> Any:
            return jax.ShapeDtypeStruct(shape, dtype, sharding=mesh_lib.replicated(mesh))

        return ZooArrays(
            parameters=array("float32", n, n_snapshots, size),
            metric=array("float32", n, n_snapshots),
            task=array("int32", n),
        )

    def describe(self) -> str:
        """Return one line for the log."""
        schedule = self.schedule
        return (
            f"live zoo: {schedule.capacity} runs on device; the oldest {schedule.refresh} are "
            f"replaced every {schedule.every} steps; {schedule.made(0) * schedule.refresh} are "
            "trained first"
        )


def make(config: Mapping[str, Any], family: TaskFamily, runs: TrainingRuns, mesh: Mesh) -> LiveZoo:
    """Make the live zoo of a config.

    Args:
        config: the experiment.
        family: its tasks.
        runs: the stored training runs, with their parameters on the host.
        mesh: the devices that the meta-model is trained on.

    Raises:
        UserError: for an imported zoo, or a buffer smaller than a group.
    """
    if runs.zoo.schema.imported:
        raise UserError(
            f"zoo.live: {runs.zoo.path} was imported and does not say how its runs were trained; "
            "set zoo.live=False"
        )
    section, stored = config["zoo"], len(runs.runs)
    schedule = LiveSchedule(
        seed=config["seed"],
        subsets=family.indices("train"),
        stored=stored,
        capacity=max(section["live_runs"], stored),
        refresh=section["live_refresh"],
        every=section["live_every"],
        first_member=int(runs.zoo.runs["member"].max()) + 1,
    )
    if schedule.refresh > schedule.capacity:
        raise UserError(
            f"zoo.live_refresh={schedule.refresh} is more than the {schedule.capacity} runs of the "
            "buffer: lower it, or raise population.members or zoo.live_runs"
        )
    new = schedule.made(config["training"]["steps"]) * schedule.refresh
    at_once = subset_runs.members_at_once(config, family, mesh, schedule.refresh, 1, new)
    return LiveZoo(config, family, runs, schedule, at_once)


class LiveFeed:
    """What each dispatch of a training draws from: the buffer at its first step.

    A context manager like `feeding.RowFeed`. `waited` is the number of seconds that dispatches
    have waited for new runs so far.
    """

    resident = False

    def __init__(self, live: LiveZoo, mesh: Mesh) -> None:
        """Create the feed; nothing is trained yet."""
        self.waited = 0.0
        self._live, self._mesh = live, mesh
        self._began = time.monotonic()
        self._made = 0  # groups
        self._failed = 0  # runs that were not finite, and are left out
        self._buffer: ZooArrays | None = None

    def take(self, first: int, stop: int) -> ZooArrays:
        """Return what the steps [first, stop) draw from; valid until the next call.

        Steps are taken in order, one dispatch at a time. The first call fills the buffer, at any
        step.
        """
        schedule = self._live.schedule
        if (stop - 1) // schedule.every != first // schedule.every:
            raise ValueError(f"runs are replaced between the steps {first} and {stop}")
        made = schedule.made(first)
        if made < self._made:
            raise ValueError(f"step {first} has been taken")
        began = time.monotonic()
        if self._buffer is None:
            self._fill(made)
        else:
            for number in range(self._made, made):
                self._refresh(number)
        if made > self._made:
            # Wait only here, so that the seconds are those of the populations.
            jax.block_until_ready(self._buffer)
            self.waited += time.monotonic() - began
            self._say(first, made - self._made)
        self._made = made
        assert self._buffer is not None
        return self._buffer

    def _fill(self, made: int) -> None:
        """Lay out the stored runs, and over them the groups up to `made`, last to first.

        Backwards, because a diverged run keeps what was in its place before.
        """
        schedule, runs = self._live.schedule, self._live.runs
        assert runs.kept is not None
        # Places without a stored run hold another copy of one until they are filled.
        rows = np.resize(schedule.order("stored", schedule.stored), schedule.capacity)
        kept = runs.kept[rows].astype(np.float32)  # a copy
        kept -= np.asarray(runs.normaliser.mean)
        kept /= np.asarray(runs.normaliser.scale)
        stored: Any = jax.tree.map(lambda x: np.asarray(x)[rows], runs.arrays)
        self._buffer = distributed.put(
            stored._replace(parameters=kept), mesh_lib.replicated(self._mesh)
        )
        empty = np.ones(schedule.capacity, bool)
        for number in reversed(range(made)):
            places = schedule.places(number)
            if empty[places].any():
                finite = self._refresh(number, empty[places])
                empty[places] &= ~finite
            if not empty.any():
                break

    def _refresh(self, number: int, wanted: np.ndarray | None = None) -> np.ndarray:
        """Train a group, and put its finite runs in place, of these only the `wanted` [F].

        Returns:
            [F] which are finite.
        """
        schedule = self._live.schedule
        fresh, finite = train_group(self._live, number, self._mesh)
        use = finite if wanted is None else finite & wanted
        fresh, use = distributed.put((fresh, use), mesh_lib.replicated(self._mesh))
        self._buffer = _placed(self._buffer, schedule.places(number), fresh, use)
        self._failed += int((~np.asarray(finite)).sum())
        return np.asarray(finite)

    def _say(self, step: int, groups: int) -> None:
        spent = time.monotonic() - self._began - self.waited
        print(
            f"live zoo: step {step}: {groups * self._live.schedule.refresh} new runs; so far "
            f"{self.waited:.1f} s for populations, {spent:.1f} s for meta-training"
            + (f"; {self._failed} runs were not finite and left out" if self._failed else ""),
            flush=True,
        )

    def __enter__(self) -> LiveFeed:
        return self

    def __exit__(self, *_: object) -> None:
        self._buffer = None


def train_group(live: LiveZoo, number: int, mesh: Mesh) -> tuple[ZooArrays, jax.Array]:
    """Train the runs [F, ...] of a group; normalise them and round them as if stored.

    Returns:
        The runs, and which of them are finite, [F] bool.
    """
    subsets, member = live.schedule.group(number)
    _, history = subset_runs.train_subsets(
        live.config, live.family, subsets, mesh, np.array([member]), live.at_once
    )
    metrics = {name: values[:, 0] for name, values in history.metrics.items()}  # [F, S]
    return _as_stored(
        live.config["zoo"]["dtype"],
        compat.get(live.config, "population.max_weight"),
        live.runs.metric,
        history.parameters[:, 0],
        metrics,
        jnp.asarray(subsets, jnp.int32),
        live.runs.normaliser,
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _as_stored(
    dtype: str,
    max_weight: float,
    metric: PromptMetric,
    parameters: jax.Array,
    metrics: dict[str, jax.Array],
    task: jax.Array,
    n: Any,
) -> tuple[ZooArrays, jax.Array]:
    """Round as the zoo does, find which runs are finite, and normalise by `n`."""
    parameters = parameters.astype(dtype).astype(jnp.float32)  # [F, S, D]
    finite = jnp.isfinite(parameters).all((1, 2))
    if max_weight:
        finite &= jnp.abs(parameters).max((1, 2)) <= max_weight
    for values in metrics.values():
        finite &= jnp.isfinite(values).all(1)
    return ZooArrays(n.normalise(parameters), metric.of_stored(metrics), task), finite


@functools.partial(jax.jit, donate_argnums=0)
def _placed(buffer: Any, places: jax.Array, fresh: ZooArrays, use: jax.Array) -> Any:
    def placed(old: jax.Array, new: jax.Array) -> jax.Array:
        chosen = use.reshape(-1, *(1,) * (new.ndim - 1))
        return old.at[places].set(jnp.where(chosen, new, old[places]))

    return jax.tree.map(placed, buffer, fresh)
