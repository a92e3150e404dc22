"""Config keys that were added or renamed, and how older stored configs are read.

A config that lacks a key of DEFAULTS means its default. Workdirs and zoos written before a key
existed can be resumed by a config that has the key at its default. Zoos leave such keys out of
their stored configs, so old and new ones compare equal. Stored configs may use the old names in
RENAMED; command lines and config files may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULTS: dict[str, Any] = {
    "data.fewest_classes": 0,
    "data.pixel_mean": (),
    "data.pixel_std": (),
    "data.settings": "random",
    "data.unseen_class_rule": "all",
    "data.transform": {
        **dict.fromkeys(("symmetry", "invert", "contrast", "stroke", "blur"), 0.0),
        **dict.fromkeys(("permute", "linear"), 0.0),
        "held_out": False,
    },
    "evaluation.measures": ("all",),
    "evaluation.few_shot_networks": 8,
    "evaluation.polish_steps": (),
    "evaluation.prompt": "best",
    "evaluation.prompt_range": (),
    "evaluation.shots": (),
    "evaluation.warped_copies": 0,
    "metamodel.gpt": {},  # any value: nothing depended on it
    "metamodel.mixing": 0,
    "metamodel.name": "dit",
    "metamodel.step_scale": 1.0,
    "metamodel.support_probes": 0,
    "metamodel.support_weights": False,
    "metamodel.support_warps": 0.0,
    "metamodel.writes": True,
    "network.cells": 1,
    "network.init": "default",
    "population.coupled_decay": False,
    "population.epoch_steps": 0,
    "population.max_weight": 0.0,
    "population.snapshot_spacing": "power",
    "representation.align": False,
    "representation.components": 128,
    "representation.normaliser": "tensor",
    "representation.steps": 2000,
    "sampling.guidance_best": 1.0,
    "sampling.guidance_start": 1.0,
    "sampling.guidance_support": 1.0,
    "sampling.guidance_target": 1.0,
    "training.best_prompts": 0.0,
    # Imported meta-models, which are not trained further, lack this key, keep_checkpoints and
    # steps_per_dispatch.
    "training.checkpoint_every": 500,
    "training.ema_warmup": True,
    "training.end_to_end_rate": 1e-3,
    "training.end_to_end_steps": 0,
    "training.fresh_classes": True,
    "training.keep_checkpoints": 2,
    "training.metric": "",
    "training.queries": 50,
    "training.schedule": "warmup_then_cosine",
    "training.spacing": "start_first",
    "training.steps_per_dispatch": 50,
    "training.support_sizes": "uniform",
    "training.support_unequal": 0.0,
    "zoo.members_per_group": 0,
}
RENAMED = {  # old: new, both in the same section
    "metamodel.descents": "metamodel.inner_steps",
    "zoo.reading": "zoo.placement",
}


def renamed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored config, or some sections of one, with its keys renamed to today's names."""

    def name_in(section: str, name: str) -> str:
        return RENAMED.get(f"{section}.{name}", f"{section}.{name}").removeprefix(f"{section}.")

    return {
        section: {name_in(section, name): x for name, x in values.items()}
        if isinstance(values, Mapping)
        else values
        for section, values in config.items()
    }


def get(config: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key of DEFAULTS, such as "metamodel.name", in a config."""
    section, _, name = key.partition(".")
    return get_from(config[section], section, name)


def get_from(section: Mapping[str, Any], of: str, name: str) -> Any:
    """Return the value of a key of DEFAULTS, given only the section `of` a config."""
    return section.get(name, DEFAULTS[f"{of}.{name}"])


def without_defaults(section: Mapping[str, Any], of: str) -> dict[str, Any]:
    """Return the section `of` a config without the keys that have their value in DEFAULTS."""

    def plain(x: Any) -> Any:
        return tuple(x) if isinstance(x, list) else x

    return {
        name: x
        for name, x in section.items()
        if f"{of}.{name}" not in DEFAULTS or plain(x) != DEFAULTS[f"{of}.{name}"]
    }
