"""An experiment's config: all sections with their defaults, and what a file changes.

A file in configs/ says what differs from the defaults, as CONFIG, and for its variants as VARIANTS:

    CONFIG = {"network.name": "cnn", "network.channels": (8, 16)}
    VARIANTS = {"": {}, "long": {"training.steps": 9000}}

    def get_config(variant: str = "") -> ConfigDict:
        return experiment.make(CONFIG, VARIANTS, variant)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from mole_jax.core import compat
from mole_jax.core.program import config as configs
from mole_jax.core.program import sections
from mole_jax.evaluation.harness.evaluation_config import EvaluationConfig
from mole_jax.learners.learners_config import LearnersConfig
from mole_jax.metamodel.metamodel_config import METAMODEL
from mole_jax.metamodel.process.process_config import DiffusionConfig, SamplingConfig
from mole_jax.population.population_config import POPULATION
from mole_jax.representation.representation_config import RepresentationConfig
from mole_jax.tasks.task_config import DATA, NETWORK
from mole_jax.training.train_config import TrainConfig
from mole_jax.zoo.zoo_config import ZooConfig

SECTIONS: sections.Schema = {
    "data": DATA,
    "network": NETWORK,
    "population": POPULATION,
    "zoo": ZooConfig,
    "representation": RepresentationConfig,
    "metamodel": METAMODEL,
    "diffusion": DiffusionConfig,
    "training": TrainConfig,
    "learners": LearnersConfig,
    "sampling": SamplingConfig,
    "evaluation": EvaluationConfig,
}
# Sections that older configs lack: a missing one has the defaults.
LATER = ("learners",)
TAGS = {"data.source": "digits", "network.name": "mlp", "metamodel.name": "dit"}


def defaults() -> ConfigDict:
    """Return the config with all defaults: an MLP on digits."""
    made: dict[str, Any] = {"seed": 0}
    for key, value in TAGS.items():
        section, _, name = key.partition(".")
        made[section] = {name: value}
    for name, kind in sections.chosen(SECTIONS, made).items():
        made[name] = made.get(name, {}) | sections.defaults(kind)
    return ConfigDict({name: made[name] for name in ("seed", *SECTIONS)})


def before() -> dict[str, Any]:
    """Return the keys that older configs lack, with what held before: see `stages.check`."""
    later = {key: x for name in LATER for key, x in _keys(_later(name), f"{name}.").items()}
    return {**compat.DEFAULTS, **later}


def _keys(section: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the keys of a section and of those in it, such as "learners.maml.steps"."""
    found: dict[str, Any] = {}
    for key, x in section.items():
        own = f"{prefix}{key}"
        found |= _keys(x, f"{own}.") if isinstance(x, Mapping) and x else {own: x}
    return found


def _later(name: str) -> dict[str, Any]:
    kind = SECTIONS[name]
    assert isinstance(kind, type)
    return sections.defaults(kind)


def change(config: ConfigDict, differences: Mapping[str, Any]) -> ConfigDict:
    """Set keys such as "network.name", in place, and return the config.

    Values that decide which keys exist are set first; the keys follow, then the other values.

    Raises:
        AttributeError: for a key that the config does not have.
        TypeError: for a value of another type.
    """
    was = config.copy_and_resolve_references()
    with config.unlocked():
        for key in sections.tags(SECTIONS) & set(differences):
            _set(config, key, differences[key])
        sections.adapt(config, SECTIONS, was)
        for key, value in differences.items():
            _set(config, key, value)
    return config


def _set(config: ConfigDict, key: str, value: Any) -> None:
    above, _, name = key.rpartition(".")
    node = sections.value_of(config, above, {}) if above else config
    if name not in node:
        raise AttributeError(configs.unknown(key, config, SECTIONS))
    node[name] = value


def make(
    differences: Mapping[str, Any],
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    variant: str = "",
) -> ConfigDict:
    """Return the defaults with the differences of an experiment, and those of its variant.

    Raises:
        ValueError: for a variant that is not among `variants`.
        AttributeError: for a key that the config does not have.
        TypeError: for a value of another type.
    """
    variants = variants or {"": {}}
    if variant not in variants:
        raise ValueError(f"variant {variant!r} is unknown; there are {tuple(variants)}")
    return change(defaults(), {**differences, **variants[variant]})


def describe(config: ConfigDict) -> str:
    """Return the keys of a config with their values and meanings, one per line."""
    kinds = sections.chosen(SECTIONS, config)
    order = ["seed", *SECTIONS]
    lines: list[str] = []
    for name in sorted(config, key=lambda name: (*order, name).index(name)):
        own = sections.written(kinds[name], config[name], f"{name}.") if name in kinds else []
        known = {line.partition(" = ")[0] for line in own}
        rest = configs.flatten({name: config[name]})
        lines += [f"{key} = {value!r}" for key, value in rest.items() if key not in known]
        lines += own
    return "\n".join(lines)
