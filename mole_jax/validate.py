"""Check the values of a config before anything runs, stage by stage in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mole_jax.core.errors import UserError
from mole_jax.core.program.config import Strict, flatten
from mole_jax.core.program.sections import chosen, defaults, read


def validate(config: Mapping[str, Any], mesh_shape: Mapping[str, int] | None = None) -> None:
    """Build everything that is cheap to build from a config, so that what cannot work fails now.

    `mesh_shape` is how training will arrange the devices: see `mesh.make_mesh`.

    Raises:
        UserError: naming the key, its value and what it should be.
    """
    from mole_jax.core.devices import mesh as mesh_lib
    from mole_jax.evaluation import selection
    from mole_jax.evaluation.harness import evaluation_config
    from mole_jax.learners import registry
    from mole_jax.learners.learners_config import LearnersConfig
    from mole_jax.population import recipes
    from mole_jax.tasks import family as families
    from mole_jax.training import live
    from mole_jax.training.pairs import PairConfig
    from mole_jax.zoo import prompt_metric
    from mole_jax.zoo.zoo_config import ZooConfig

    _check_sections(config)
    _check_numbers(config)
    config = Strict(config)
    recipes.check(config["population"])
    read(ZooConfig, config["zoo"], "zoo").check()
    family = families.build(config)
    recipes.check_fits(config["population"], family)
    registry.check(config, family.network, mesh_lib.make_mesh(mesh_shape))
    prompt_metric.check(config, family)
    PairConfig.of(config)
    read(LearnersConfig, config["learners"], "learners").check()
    live.check(config, family)
    evaluation_config.check(config)
    selection.selected(config)


def _check_sections(config: Mapping[str, Any]) -> None:
    """Refuse a value where a section is expected; missing keys are reported where they are read."""
    from mole_jax.experiment import SECTIONS

    for name in SECTIONS:
        _check_section(name, config.get(name, {}))
    for name, kind in chosen(SECTIONS, config).items():
        for key, value in defaults(kind).items():
            if isinstance(value, dict):
                _check_section(f"{name}.{key}", config.get(name, {}).get(key, {}))


def _check_section(name: str, found: Any) -> None:
    if not isinstance(found, (ConfigDict, Mapping)):
        raise UserError(
            f"config.{name}={found!r} is not a section: give it keys, such as those that "
            "--print_config shows"
        )


def _check_numbers(config: Mapping[str, Any]) -> None:
    """Refuse numbers beyond 32 bits, in which everything is computed: 1e39 would be infinite."""
    for key, value in flatten(config).items():
        for number in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(number, float) and not abs(number) <= float(np.finfo(np.float32).max):
                raise UserError(f"{key}={value} must be finite in float32, too")
            if isinstance(number, int) and key != "seed" and abs(number) > np.iinfo(np.int32).max:
                raise UserError(f"{key} is far too large: it must be below 2**31")
