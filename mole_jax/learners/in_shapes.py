"""A config's learners and what they are trained on as shapes, without its data and zoo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from mole_jax import representation
from mole_jax.core.errors import UserError
from mole_jax.learners import meta_training, registry
from mole_jax.tasks import family as families
from mole_jax.tasks import images
from mole_jax.tasks.family import TaskFamily
from mole_jax.tasks.sources import stand_in
from mole_jax.training.learner import Learner
from mole_jax.training.pair_source import PairSource
from mole_jax.training.pairs import PairConfig, ZooArrays
from mole_jax.training.source import Source
from mole_jax.training.train_config import TrainConfig


def pieces(config: Mapping[str, Any]) -> dict[str, tuple[Learner, TrainConfig, Source]]:
    """Return what each learner of a config trains: itself, hyperparameters and source of batches.

    Raises:
        UserError: for an invalid config.
    """
    family = family_of(config)
    fitted = representation.shapes(config, family.network)
    found: dict[str, tuple[Learner, TrainConfig, Source]] = {}
    for name in registry.of(config):
        learner = registry.build(config, family.network, name, fitted)
        hyper, rules = registry.train_config(config, name), PairConfig.of(config)
        if learner.source == "episodes":
            found[name] = learner, hyper, meta_training.episodes(family, rules, hyper)
            continue
        source = PairSource(
            rules,
            hyper.batch_size,
            family.network,
            fitted.normaliser,
            family.device_data,
            _zoo(config, family),
        )
        found[name] = learner, hyper, source
    return found


def _zoo(config: Mapping[str, Any], family: TaskFamily) -> ZooArrays:
    """Return the shapes of the training runs."""
    population, size = config["population"], family.network.spec.size
    members = population["members"] - population["held_out_members"]
    runs, snapshots = len(family.indices("train")) * members, population["snapshots"]
    if config["zoo"]["live"]:
        runs = max(runs, config["zoo"]["live_runs"])

    def array(dtype: str, *shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    return ZooArrays(
        array("float32", runs, snapshots, size),
        array("float32", runs, snapshots),
        array("int32", runs),
    )


def family_of(config: Mapping[str, Any]) -> TaskFamily:
    """Return the tasks, with random images of the right shape if the real ones are not here."""
    try:
        return families.build(config)
    except UserError:
        data = stand_in.of(config["data"]["source"])
        if data is None:
            raise
    print(f"dry run: random images stand in for data.source={config['data']['source']!r}")
    return images.build(config, data)
