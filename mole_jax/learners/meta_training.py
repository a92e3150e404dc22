"""The train stage: every learner of a config, meta-trained on the zoo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from mole_jax import representation
from mole_jax.core import compat, rng
from mole_jax.core.devices import distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.learners import registry, scales
from mole_jax.learners.scales import Scales
from mole_jax.representation.fitted import Fitted
from mole_jax.tasks import pixels
from mole_jax.tasks.family import TaskFamily
from mole_jax.tasks.images import ImageFamily
from mole_jax.training import data as data_lib
from mole_jax.training import fitting, fresh_classes, live, loop
from mole_jax.training.control_source import ControlSource
from mole_jax.training.data import TrainingRuns
from mole_jax.training.episode_source import EpisodeSource
from mole_jax.training.learner import Learner
from mole_jax.training.pair_source import PairSource
from mole_jax.training.pairs import PairConfig
from mole_jax.training.source import Source
from mole_jax.training.train_config import TrainConfig
from mole_jax.zoo import prompt_metric
from mole_jax.zoo.storage.reader import Zoo, open_zoo


def train(
    config: Mapping[str, Any], workdir: Path, mesh_shape: Mapping[str, int] | None = None
) -> None:
    """Train on WORKDIR/zoo, and write WORKDIR/train/LEARNER/checkpoints.

    `mesh_shape` says how the devices are arranged (see `mesh.make_mesh`). It only changes rounding,
    so a training may resume on another one.

    With `zoo.live` new runs replace those of the zoo during training (see `live.py`).
    """
    workdir = Path(workdir)
    zoo = open_zoo(workdir / "zoo")
    family = data_lib.checked_family(config, zoo)
    mesh = mesh_lib.make_mesh(mesh_shape)
    if config["zoo"]["live"]:
        placement, why = "host", "a live zoo begins with them"
    else:
        placement, why = data_lib.choose_placement(config, zoo)
    metric = prompt_metric.of(config, zoo.schema)
    scaling = compat.get(config, "representation.normaliser")
    align = compat.get(config, "representation.align")
    runs = data_lib.read(zoo, family, placement, scaling, metric, align=align)
    renewed = live.make(config, family, runs, mesh) if config["zoo"]["live"] else None
    if distributed.is_first():
        print(f"train: {data_lib.describe(runs, why)}", flush=True)
    distributed.agree(_leave_scales, config, workdir, family, runs)
    fitted = scales.read(workdir).fitted
    if renewed is not None:
        print(f"train: {renewed.describe()}", flush=True)
    for name in registry.of(config):
        learner, hyper, source = of_learner(config, name, zoo, family, runs, fitted, renewed)
        root = rng.named(rng.key(config["seed"]), f"train {name}")
        loop.fit(learner, hyper, source, root, workdir / "train" / name, mesh)


def of_learner(
    config: Mapping[str, Any],
    name: str,
    zoo: Zoo,
    family: TaskFamily,
    runs: TrainingRuns,
    fitted: Fitted,
    renewed: live.LiveZoo | None = None,
) -> tuple[Learner, TrainConfig, Source]:
    """Return a config's learner of this name, its hyperparameters and its source of batches.

    Args:
        config: the experiment.
        name: of the learner.
        zoo: the stored runs.
        family: their tasks.
        runs: the training runs.
        fitted: what was fitted for the representation.
        renewed: the live zoo that replaces runs during training, or None.
    """
    learner = registry.build(config, family.network, name, fitted)
    hyper = registry.train_config(config, name)
    rules = PairConfig.of(config, zoo.schema)
    source: Source
    if learner.source == "episodes":
        source = episodes(family, rules, hyper)
    else:
        source = PairSource(
            rules,
            hyper.batch_size,
            family.network,
            fitted.normaliser,
            family.device_data,
            runs.arrays,
            runs,
            renewed,
        )
    return learner, hyper, source


def episodes(
    family: TaskFamily, rules: PairConfig, hyper: TrainConfig
) -> EpisodeSource | ControlSource:
    """Return the training tasks as a source of episodes, with support sets drawn as for pairs."""
    tasks = jnp.asarray(family.indices("train"), jnp.int32)
    if not isinstance(family, ImageFamily):
        return ControlSource(
            family.network, tasks, family.device_data, hyper.batch_size, rules.support
        )
    return EpisodeSource(
        family.network,
        tasks,
        family.device_data,
        hyper.batch_size,
        rules.support,
        hyper.queries,
        rules.permute_labels,
        fresh_classes.of(family) if hyper.fresh_classes else None,
    )


def _leave_scales(
    config: Mapping[str, Any], workdir: Path, family: TaskFamily, runs: TrainingRuns
) -> None:
    """Write what was fitted, in process 0; a latent is fitted once, when the training begins.

    If fitted again on another machine, its components could point the other way.
    """
    if not distributed.is_first():
        return
    if representation.latent(config) is not None and scales.path(workdir).exists():
        fitted = scales.read(workdir).fitted
    else:
        fitted, line = fitting.fit(config, family.network, runs)
        if line:
            print(f"train: {line}", flush=True)
    start_loss = float(np.median(runs.arrays.metric[:, 0]))
    seen = pixels.of_training(family) or (None, None)
    scales.write(workdir, Scales(fitted, family.scale, family.shift, start_loss, *seen))
