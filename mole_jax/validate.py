"""Check the values of a config before anything runs, stage by stage in their order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mole_jax.core.errors import UserError
from mole_jax.core.program.config import Strict, flatten

# Each after the one that it is in.
SECTIONS = (
    *("data", "data.pools", "data.max_per_class", "data.augment", "network"),
    *("population", "population.ppo", "zoo", "representation", "metamodel", "metamodel.gpt"),
    *("diffusion", "training", "training.drop", "sampling", "evaluation", "evaluation.targets"),
)
ZOO_DTYPES = ("float32", "bfloat16", "float16")  # networks are trained in float32


def validate(config: Mapping[str, Any], mesh_shape: Mapping[str, int] | None = None) -> None:
    """Build everything that is cheap to build from a config, so that what cannot work says so now.

    `mesh_shape` is how training will arrange the devices: see `mesh.make_mesh`.

    Raises:
        UserError: naming the key, its value and what it should be.
    """
    from mole_jax.core import compat
    from mole_jax.core.devices import mesh as mesh_lib
    from mole_jax.evaluation import settings
    from mole_jax.metamodel import meta_model as models
    from mole_jax.metamodel.process import sampler
    from mole_jax.population import recipes
    from mole_jax.tasks import family as families
    from mole_jax.training import data as data_lib
    from mole_jax.training import live, train
    from mole_jax.training.pairs import Draw
    from mole_jax.training.state import Hyper
    from mole_jax.zoo import prompt_metric

    _check_sections(config)
    _check_numbers(config)
    config = Strict(config)
    recipes.check(config["population"])
    _positive(config, "zoo", "subsets_per_group", "runs_per_shard", "runs_per_chunk")
    if compat.get(config, "zoo.members_per_group") < 0:
        raise UserError(
            f"zoo.members_per_group={config['zoo']['members_per_group']} must be 1 or more, or 0 "
            "for all of a data subset"
        )
    if config["zoo"]["runs_per_shard"] % config["zoo"]["runs_per_chunk"]:
        raise UserError("zoo.runs_per_shard must be a multiple of zoo.runs_per_chunk")
    if config["zoo"]["dtype"] not in ZOO_DTYPES:
        raise UserError(
            f"zoo.dtype={config['zoo']['dtype']!r} must be one of {', '.join(ZOO_DTYPES)}"
        )
    readings = ("auto", *data_lib.READINGS)
    if config["zoo"]["reading"] not in readings:
        raise UserError(
            f"zoo.reading={config['zoo']['reading']!r} must be one of {', '.join(readings)}"
        )
    if not 0 <= config["zoo"]["memory_gb"] < math.inf:
        raise UserError(f"zoo.memory_gb={config['zoo']['memory_gb']} must be 0 or more")
    family = families.build(config)
    recipes.check_fits(config["population"], family)
    model = models.build(config, family.network)
    train.check_mesh(model, Hyper.of(config), mesh_lib.make_mesh(mesh_shape))
    prompt_metric.check(config, family)
    Draw.of(config)
    _positive(config, "training", "steps_per_dispatch", "checkpoint_every", "keep_checkpoints")
    if config["training"]["regression_steps"] < 0:
        raise UserError(
            f"training.regression_steps={config['training']['regression_steps']} must not be "
            "negative; 0 leaves regression out"
        )
    live.check(config, family)
    sampler.plan(config["sampling"], model.process.n_steps)
    settings.check(config)


def _check_sections(config: Mapping[str, Any]) -> None:
    for name in SECTIONS:
        found: Any = config
        for part in name.split("."):
            found = found.get(part, {})  # what is missing is said where it is read
        if not isinstance(found, (ConfigDict, Mapping)):
            raise UserError(
                f"config.{name}={found!r} is not a section: give it keys, as configs/digits_mlp.py "
                "does"
            )


def _check_numbers(config: Mapping[str, Any]) -> None:
    """Refuse numbers beyond 32 bits, in which all is computed: 1e39 would be infinite."""
    for key, value in flatten(config).items():
        for number in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(number, float) and not abs(number) <= float(np.finfo(np.float32).max):
                raise UserError(f"{key}={value} must be finite, in float32, too")
            if isinstance(number, int) and key != "seed" and abs(number) > np.iinfo(np.int32).max:
                raise UserError(f"{key} is far too large: it must be below 2**31")


def _positive(config: Mapping[str, Any], section: str, *names: str) -> None:
    for name in names:
        if config[section][name] < 1:
            raise UserError(f"{section}.{name}={config[section][name]} must be 1 or more")
