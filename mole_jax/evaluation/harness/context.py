"""What every measure works with, loaded once: learners, zoo, and the episodes they are tried on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from mole_jax.core import compat, rng
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.evaluation.harness import episodes, zoo_finals
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.zoo_finals import ZooFinals
from mole_jax.learners import registry, stored
from mole_jax.learners.stored import Trained
from mole_jax.tasks.family import TaskFamily
from mole_jax.training import data as data_lib
from mole_jax.training import spent
from mole_jax.training.learner import Learner
from mole_jax.zoo import prompt_metric
from mole_jax.zoo.prompt_metric import PromptMetric
from mole_jax.zoo.storage.reader import Zoo, open_zoo

CHOICE = "choice"  # the episodes on which choices are made, besides the reported splits


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """A trained learner and how it is called."""

    trained: Trained
    batch: int  # networks per call, a multiple of the mesh's data axis
    mesh: Mesh
    steps: int  # of its meta-training
    seconds: float | None  # that these took; None if not recorded


@dataclasses.dataclass(frozen=True, eq=False)
class EvalContext:
    """Config, zoo, tasks, trained learners, and the episodes that they are tried on."""

    config: Mapping[str, Any]
    zoo: Zoo
    family: TaskFamily
    mesh: Mesh
    root: jax.Array
    learners: dict[str, Predictor]  # by name, as the train stage left them
    learner: str  # the measured one: the first by default, see `measuring`
    prompt_metric: PromptMetric
    training: ZooFinals
    choice: EpisodeGrid  # on training subsets; all choices are made here
    splits: dict[str, EpisodeGrid]  # S0, S1, ...: what is reported
    seconds: dict[str, float | None]  # taken by earlier stages; None if not recorded

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """Return `config.evaluation`."""
        return self.config["evaluation"]

    @property
    def main_split(self) -> str:
        """Return the split for the costlier measures: S1 if there is one, else S0."""
        return "S1" if "S1" in self.splits else "S0"

    @property
    def one_task(self) -> bool:
        """Return whether the zoo has one task; its runs then stand for tasks in episodes."""
        return len(self.zoo.schema.tasks) == 1

    @property
    def others(self) -> tuple[str, ...]:
        """Return the names of the learners that write networks, except the measured one."""
        return tuple(name for name in self.writers if name != self.learner)

    @property
    def writers(self) -> tuple[str, ...]:
        """Return the names of the learners that write networks; others answer with classes."""
        found = self.learners.items()
        return tuple(name for name, x in found if x.trained.learner.writes_networks)

    @property
    def asks_best(self) -> bool:
        """Return whether the measured learner is asked for its best, and not for a number."""
        learned = self.learners[self.learner].trained.learner.uses.best
        return learned and compat.get(self.config, "evaluation.prompt") == "best"

    def measuring(self, learner: str) -> EvalContext:
        """Return the same context with another learner measured."""
        return dataclasses.replace(self, learner=learner)

    def asked_as(self, learner: Learner) -> EvalContext:
        """Return the same context with the measured learner in another setting."""
        own = self.learners[self.learner]
        other = dataclasses.replace(own, trained=own.trained._replace(learner=learner))
        return dataclasses.replace(self, learners={**self.learners, self.learner: other})

    def episodes(self, split: str) -> EpisodeGrid:
        """Return the episodes of a split or of `CHOICE`."""
        return self.choice if split == CHOICE else self.splits[split]

    def tasks_with_runs(self, split: str) -> np.ndarray:
        """Return the positions of tasks with finite runs, within the split's episodes: [t]."""
        finite = np.unique(self.zoo.runs["subset"][self.zoo.select(finite=True)])
        return np.flatnonzero(np.isin(self.splits[split].tasks, finite))

    def key(self, name: str) -> jax.Array:
        """Return the PRNG key of a random choice, by its name."""
        return rng.named(self.root, name)


def load_context(config: Mapping[str, Any], workdir: Path) -> EvalContext:
    """Open WORKDIR/zoo and WORKDIR/train and lay out the episodes.

    Raises:
        UserError: if the zoo or a trained learner is missing, damaged or of other tasks, or if
            nothing is held out.
    """
    workdir = Path(workdir)
    zoo = open_zoo(workdir / "zoo")
    family = data_lib.checked_family(config, zoo)
    section, per_class = config["evaluation"], config["data"]["support_per_class"]
    mesh = mesh_lib.make_mesh()
    root = rng.named(rng.key(config["seed"]), "evaluate")
    learners = {
        name: _predictor(config, workdir, family, mesh, name) for name in registry.of(config)
    }
    main = next(iter(learners))
    held_out = {
        "S0": episodes.held_out_runs(zoo, section["s0_tasks"]),
        **{
            name: episodes.held_out_subsets(zoo, tasks, section["starts"])
            for name, tasks in family.held_out().items()
        },
    }
    held_out = {name: runs for name, runs in held_out.items() if runs.size}
    if not held_out:
        raise UserError(
            f"{zoo.path} has no held-out run to evaluate on; raise data.held_out_subsets or "
            "population.held_out_members, or import it with --held-out-runs"
        )
    choice = episodes.for_choices(zoo, section["s0_tasks"])
    metric = prompt_metric.of(config, zoo.schema)
    context = EvalContext(
        config=config,
        zoo=zoo,
        family=family,
        mesh=mesh,
        root=root,
        learners=learners,
        learner=main,
        prompt_metric=metric,
        training=zoo_finals.of_zoo(
            zoo, metric, np.asarray(learners[main].trained.scales.fitted.normaliser.scale)
        ),
        choice=episodes.of_runs(zoo, family, metric, choice, root, per_class),
        splits={
            name: episodes.of_runs(zoo, family, metric, runs, root, per_class)
            for name, runs in held_out.items()
        },
        seconds={stage: stage_seconds(workdir, stage) for stage in ("zoo", "train")},
    )
    if not len(context.tasks_with_runs(context.main_split)):
        raise UserError(
            f"{zoo.path}: every run of the held-out data subsets diverged, so there is "
            "nothing to compare with; lower population.learning_rate and make the zoo again"
        )
    return context


def stage_seconds(workdir: Path, stage: str) -> float | None:
    """Return the seconds a stage took, or None if it has no record, being called as a function."""
    try:
        return float(stages.record(workdir, stage)["seconds"])
    except UserError:
        return None


def _predictor(
    config: Mapping[str, Any], workdir: Path, family: TaskFamily, mesh: Mesh, name: str
) -> Predictor:
    plan = registry.plan(config)
    trained = stored.load(workdir, config, family.network, name, plan=plan)
    batch = mesh_lib.pad_to_multiple(config["evaluation"]["sampler_batch"], mesh.shape["data"])
    steps = registry.train_config(config, name).steps
    return Predictor(trained, batch, mesh, steps, spent.seconds(workdir / "train" / name))
