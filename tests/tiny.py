"""Experiments small enough for a test, made from the configuration of the demo."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh
from ml_collections import ConfigDict

from mole_jax import experiment, representation
from mole_jax.core import compat
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.program import config as configs
from mole_jax.core.program import sections
from mole_jax.learners import meta_training, registry
from mole_jax.learners.diffusion import Diffusion
from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.process.prompt import Prompt, everything
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks import family as families
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.images import ImageFamily
from mole_jax.tasks.task_config import DATA
from mole_jax.training import data as data_lib
from mole_jax.training import loop
from mole_jax.training.episode_source import EpisodeSource
from mole_jax.training.pair_source import PairSource
from mole_jax.training.pairs import PairConfig, ZooArrays
from mole_jax.training.state import State
from mole_jax.training.train_config import TrainConfig

DEMO = Path(__file__).parents[1] / "configs" / "digits_mlp.py"

TINY = {
    "data.classes_per_subset": 3,
    "data.train_subsets": 8,
    "data.held_out_subsets": 2,
    "data.support_per_class": 4,
    "network.hidden": (6,),
    "population.members": 3,
    "population.held_out_members": 1,
    "population.steps": 20,
    "population.snapshots": 5,
    "population.batch_size": 16,
    "population.at_once": 64,
    "zoo.subsets_per_group": 3,
    "representation.align": False,  # tests of one basis ask for it
    "metamodel.width": 32,
    "metamodel.layers": 1,
    "metamodel.heads": 2,
    "metamodel.mlp_ratio": 2,
    "metamodel.feature_width": 16,
    "metamodel.probes": 2,
    "metamodel.inner_steps": 2,
    "diffusion.steps": 50,
    "training.steps": 20,
    "training.regression_steps": 0,
    "training.best_prompts": 0.0,  # tests of such prompts ask for them
    "training.batch_size": 8,
    "training.warmup_steps": 2,
    "training.function_images": 8,
    "training.support_min_per_class": 2,
    "training.steps_per_dispatch": 5,
    "training.checkpoint_every": 5,
    "sampling.steps": 4,
    "evaluation.starts": 2,
}


# Tasks of two to four classes.
SEVERAL_CLASSES = {
    "data__classes_per_subset": 4,
    "data__fewest_classes": 2,
    "data__train_subsets": 12,
    "data__held_out_subsets": 6,
}


def tiny_config(**changes: Any) -> ConfigDict:
    """The demo's config made tiny; a change of `a.b` is written `a__b=value`."""
    asked = {name.replace("__", "."): value for name, value in changes.items()}
    tags = {key: value for key, value in asked.items() if key in experiment.TAGS}
    config = experiment.change(configs.load(str(DEMO)), tags)
    # A key of another network, learner or source has no say.
    there = {key: value for key, value in TINY.items() if key in configs.flatten(config)}
    return experiment.change(config, there | asked).lock()


def data_config(**changes: Any) -> dict[str, Any]:
    """The `data` section of the demo's config, with changes."""
    source = {"data.source": changes.get("source", experiment.TAGS["data.source"])}
    data = experiment.change(configs.load(str(DEMO)), source).data.to_dict()
    known = {key for kind in DATA.choices.values() for key in sections.defaults(kind)}
    assert set(changes) <= known, f"no data section has {set(changes) - known}"
    return {**data, **changes}


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """A meta-model with random parameters, and data that fits it."""

    config: ConfigDict
    family: ImageFamily
    learner: Any  # Diffusion, or EndToEnd
    params: Any
    normaliser: Normaliser
    zoo: ZooArrays

    @property
    def model(self) -> MetaModel:
        writer: Diffusion = getattr(self.learner, "writer", self.learner)
        return writer.model

    @property
    def hyper(self) -> TrainConfig:
        return registry.train_config(self.config, self.learner.name)

    @property
    def source(self) -> PairSource | EpisodeSource:
        """Pairs of the made-up zoo, or episodes of its tasks."""
        rules = PairConfig.of(self.config)
        if self.learner.source == "episodes":
            return meta_training.episodes(self.family, rules, self.hyper)
        return PairSource(
            rules,
            self.hyper.batch_size,
            self.family.network,
            self.normaliser,
            self.family.device_data,
            self.zoo,
        )

    def fit(self, folder: Path, mesh: Mesh | None = None) -> State:
        """Train on them, as the train stage would."""
        root = jax.random.key(0)
        return loop.fit(self.learner, self.hyper, self.source, root, folder, mesh or mesh_of(1))


def made_up(objective: str = "diffusion", **changes: Any) -> Setting:
    """A setting without training: networks of a made-up zoo move at random."""
    config = tiny_config(**changes)
    family = families.build(config)
    rng = np.random.default_rng(0)
    size, runs, snapshots = family.network.spec.size, 7, 5
    train = family.indices("train")
    rows = rng.choice(train, runs)
    normaliser = Normaliser(jnp.full(size, 0.1), jnp.full(size, 0.3), jnp.full(size, 0.5))
    zoo = ZooArrays(
        parameters=jnp.asarray(rng.normal(size=(runs, snapshots, size)), "float32"),
        # A run's metric tells which run and which snapshot it is.
        metric=jnp.asarray(
            1 + np.arange(runs)[:, None] + np.linspace(0.5, 0, snapshots), "float32"
        ),
        task=jnp.asarray(rows),
    )
    fitted = Fitted(normaliser, {})
    latent = representation.latent(config)
    if latent is not None:
        arrays, _ = latent.fit(
            config["representation"], family.network, np.asarray(zoo.parameters), None
        )
        fitted = Fitted(normaliser, arrays)
    learner = registry.build(config, family.network, objective, fitted)
    shapes = jax.eval_shape(learner.init, jax.random.key(0))
    return Setting(config, family, learner, random_like(shapes), normaliser, zoo)


def random_like(shapes: Any) -> Any:
    """Parameters of which none is zero: layers that start at zero would hide what they do.

    Drawn by NumPy, since compiling an initialisation takes JAX longer than all that follows.
    """
    rng = np.random.default_rng(1)

    def n_inputs(shape: tuple[int, ...]) -> int:
        if len(shape) == 5:  # [layers, W, 3, heads, W / heads]
            return shape[1]
        return shape[-2] if len(shape) > 1 else 4

    return jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape) / np.sqrt(n_inputs(x.shape)), x.dtype),
        shapes,
    )


def prompts(family: ImageFamily, model: MetaModel, batch: int, seed: int = 2) -> Prompt:
    """Prompts with random starts and metrics, each with a support set of another data subset."""
    start_key, metric_key, support_key = jax.random.split(jax.random.key(seed), 3)
    tasks = jnp.arange(batch) % len(family.subsets)
    data = family.device_data  # made outside of the traced function, and kept by the family
    draw = jax.jit(jax.vmap(lambda t, k: data.support(t, k, 4)))
    support: Examples = draw(tasks, jax.random.split(support_key, batch))
    metrics = jax.random.uniform(metric_key, (2, batch), minval=0.05, maxval=2.0)
    start = jax.random.normal(start_key, (batch, family.network.spec.size))
    return Prompt(
        model.representation.encode(start), metrics[0], metrics[1], support, everything(batch)
    )


@contextlib.contextmanager
def settings_of_jax(**values: Any) -> Iterator[None]:
    before = {name: jax.config.values[name] for name in values}
    try:
        for name, value in values.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def quick_compilation() -> contextlib.AbstractContextManager[None]:
    """Compile without most optimisations, which halves the time of a test that runs little."""
    return settings_of_jax(jax_disable_most_optimizations=True)


def mesh_of(n_devices: int) -> Mesh:
    """A mesh over the first devices only."""
    devices = np.array(jax.devices()[:n_devices]).reshape(n_devices, 1, 1)
    return Mesh(devices, mesh_lib.AXES, axis_types=(AxisType.Auto,) * len(mesh_lib.AXES))


def equal_trees(a: Any, b: Any) -> bool:
    """Whether two pytrees hold the same bits."""
    flat_a, tree_a = jax.tree.flatten(a)
    flat_b, tree_b = jax.tree.flatten(b)
    return tree_a == tree_b and all(
        np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(flat_a, flat_b, strict=True)
    )


def hashes(folder: Path) -> dict[str, str]:
    """Every file and folder below a folder, by name, with what is in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def with_old_names(workdir: Path) -> None:
    """Make the records of a workdir those of code from before keys were renamed or came."""
    for path in workdir.glob("*/stage.json"):
        record = json.loads(path.read_text())
        config = record["config"]
        for name in experiment.LATER:
            config.pop(name, None)
        for old, new in compat.RENAMED.items():
            section, _, name = new.partition(".")
            if section in config:
                config[section][old.partition(".")[2]] = config[section].pop(name)
        path.write_text(json.dumps(record))


def load_zoo(config: ConfigDict, workdir: Path) -> tuple[ImageFamily, Normaliser, ZooArrays]:
    """What training reads of the zoo in a workdir."""
    from mole_jax.zoo.storage.reader import open_zoo

    zoo = open_zoo(workdir / "zoo")
    family = data_lib.checked_family(config, zoo)
    return family, *data_lib.load(zoo, family)
