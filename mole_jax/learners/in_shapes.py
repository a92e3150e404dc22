"""A config's main learner and its pairs as shapes, without its data and zoo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from mole_jax import representation
from mole_jax.core.errors import UserError
from mole_jax.learners import registry
from mole_jax.tasks import family as families
from mole_jax.tasks import images
from mole_jax.tasks.family import TaskFamily
from mole_jax.tasks.sources import stand_in
from mole_jax.training.learner import Learner
from mole_jax.training.pair_source import PairSource
from mole_jax.training.pairs import PairConfig, ZooArrays
from mole_jax.training.train_config import TrainConfig


def pieces(config: Mapping[str, Any]) -> tuple[Learner, TrainConfig, PairSource]:
    """Return learner, hyperparameters and source of batches of a config.

    Raises:
        UserError: for an invalid config.
    """
    name = registry.of(config)[0]
    hyper = registry.train_config(config, name)
    rules = PairConfig.of(config)
    family = family_of(config)
    population, size = config["population"], family.network.spec.size
    members = population["members"] - population["held_out_members"]
    runs, snapshots = len(family.indices("train")) * members, population["snapshots"]
    if config["zoo"]["live"]:
        runs = max(runs, config["zoo"]["live_runs"])

    def array(dtype: str, *shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    zoo = ZooArrays(
        array("float32", runs, snapshots, size),
        array("float32", runs, snapshots),
        array("int32", runs),
    )
    fitted = representation.shapes(config, family.network)
    learner = registry.build(config, family.network, name, fitted)
    source = PairSource(
        rules, hyper.batch_size, family.network, fitted.normaliser, family.device_data, zoo
    )
    return learner, hyper, source


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
