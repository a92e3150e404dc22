"""The bench: what every part of the evaluation works with, loaded once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from mole_jax.core import rng
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.evaluation import cases as cases_lib
from mole_jax.evaluation.cases import Cases
from mole_jax.evaluation.generated import Predictor
from mole_jax.metamodel.process import sampler
from mole_jax.tasks import subsets
from mole_jax.tasks.family import TaskFamily
from mole_jax.training import data as data_lib
from mole_jax.training import train
from mole_jax.zoo import prompt_metric
from mole_jax.zoo.prompt_metric import PromptMetric
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.schema import PROMPT_METRIC


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingRuns:
    """The zoo's finite training runs: what baselines may copy from."""

    runs: np.ndarray  # [R]
    subset: np.ndarray  # [R]
    final: np.ndarray  # [R, D] the last snapshots
    badness: np.ndarray  # [R] what they are ranked by, lower being better: see `_badness`
    scale: np.ndarray  # [D] each tensor's standard deviation over all snapshots
    # In the metric that prompts speak of:
    usual_best: float  # median of the last snapshots
    best: float  # of all snapshots
    lowest: float
    highest: float


@dataclasses.dataclass(frozen=True, eq=False)
class Bench:
    """Config, zoo, tasks, trained models, and the cases they are tried on."""

    config: Mapping[str, Any]
    zoo: Zoo
    family: TaskFamily
    mesh: Mesh
    root: jax.Array
    predictors: dict[str, Predictor]  # objective -> its trained model
    metric: PromptMetric  # that prompts speak of
    training: TrainingRuns
    choice: Cases  # training subsets: all choices are made on these
    splits: dict[str, Cases]  # S0, S1, ...: what is reported

    @property
    def settings(self) -> Mapping[str, Any]:
        """`config.evaluation`."""
        return self.config["evaluation"]

    @property
    def main(self) -> str:
        """The split that the costlier parts look at: S1 where there is one."""
        return "S1" if "S1" in self.splits else "S0"

    @property
    def one_task(self) -> bool:
        """Whether all runs are of one task: cases are then its runs, and not tasks."""
        return len(self.zoo.schema.tasks) == 1

    @property
    def groups(self) -> dict[str, Cases]:
        """All cases by name: those of the splits and "choice"."""
        return {"choice": self.choice, **self.splits}

    def tasks_with_runs(self, split: str) -> np.ndarray:
        """Positions in the split's cases of tasks that have finite runs, [t]; mostly all."""
        finite = np.unique(self.zoo.runs["subset"][self.zoo.select(finite=True)])
        return np.flatnonzero(np.isin(self.splits[split].tasks, finite))

    def key(self, name: str) -> jax.Array:
        """The key of a part."""
        return rng.named(self.root, name)


def load(config: Mapping[str, Any], workdir: Path) -> Bench:
    """Open WORKDIR/zoo and WORKDIR/train and lay out the cases.

    Raises:
        UserError: where the zoo or a trained model is missing, damaged or of other tasks, or
            nothing is held out.
    """
    workdir = Path(workdir)
    zoo = open_zoo(workdir / "zoo")
    family = data_lib.checked_family(config, zoo)
    settings, per_class = config["evaluation"], config["data"]["support_per_class"]
    mesh = mesh_lib.make_mesh()
    root = rng.named(rng.key(config["seed"]), "evaluate")
    predictors = {
        objective: _predictor(config, workdir, family, mesh, objective)
        for objective in train.objectives(config)
    }
    held_out = {
        "S0": cases_lib.held_out_runs(zoo, settings["s0_tasks"]),
        **{
            split: cases_lib.held_out_subsets(zoo, split, settings["starts"])
            for split in subsets.HELD_OUT
        },
    }
    held_out = {name: runs for name, runs in held_out.items() if runs.size}
    if not held_out:
        raise UserError(
            f"{zoo.path} has no held-out run to evaluate on; raise data.held_out_subsets or "
            "population.held_out_members, or import it with --held-out-runs"
        )
    choice = cases_lib.for_choices(zoo, settings["s0_tasks"])
    metric = prompt_metric.of(config, zoo.schema)
    bench = Bench(
        config=config,
        zoo=zoo,
        family=family,
        mesh=mesh,
        root=root,
        predictors=predictors,
        metric=metric,
        training=_training_runs(
            zoo, metric, np.asarray(predictors["diffusion"].trained.normaliser.scale)
        ),
        choice=cases_lib.of_runs(zoo, family, metric, choice, root, per_class),
        splits={
            name: cases_lib.of_runs(zoo, family, metric, runs, root, per_class)
            for name, runs in held_out.items()
        },
    )
    if not len(bench.tasks_with_runs(bench.main)):
        raise UserError(
            f"{zoo.path}: every run of the held-out data subsets diverged, so that there is "
            "nothing to compare with; lower population.learning_rate and make the zoo again"
        )
    return bench


def _predictor(
    config: Mapping[str, Any], workdir: Path, family: TaskFamily, mesh: Mesh, objective: str
) -> Predictor:
    trained = train.load(workdir, config, family.network, objective)
    plan = sampler.plan(config["sampling"], trained.model.process.n_steps)
    batch = mesh_lib.pad_to_multiple(config["evaluation"]["sampler_batch"], mesh.shape["data"])
    return Predictor(trained, plan, batch, mesh)


def _training_runs(zoo: Zoo, metric: PromptMetric, scale: np.ndarray) -> TrainingRuns:
    runs = zoo.select(split="train", finite=True)
    subset = zoo.runs["subset"][runs]
    # Baselines copy from other data subsets than a case's own, or from other runs of the only one.
    if len(np.unique(subset)) < 2 and (len(zoo.schema.tasks) > 1 or len(runs) < 2):
        raise UserError(
            f"{zoo.path} has finite training runs of {len(np.unique(subset))} data subsets; "
            "evaluation needs two at least, so raise data.train_subsets; or two runs of the only "
            "task there is"
        )
    values = metric.of_runs(zoo, runs)  # [R, S]
    sign = -1 if metric.larger_is_better else 1
    return TrainingRuns(
        runs=runs,
        subset=subset,
        final=zoo.parameters(runs, [-1])[:, 0],
        badness=_badness(zoo, runs, sign * values[:, -1]),
        scale=scale,
        usual_best=float(np.median(values[:, -1])),
        best=float(sign * (sign * values).min()),
        lowest=float(values.min()),
        highest=float(values.max()),
    )


def _badness(zoo: Zoo, runs: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """The final validation loss of runs: [R], or what is given where a zoo has not got it.

    Not the metric that prompts speak of, which may be the test pool's: who copies the best of a
    thousand runs by their test error has chosen on the test pool.
    """
    if PROMPT_METRIC not in zoo.schema.metrics:
        return otherwise
    return zoo.metric(PROMPT_METRIC, runs)[:, -1]
