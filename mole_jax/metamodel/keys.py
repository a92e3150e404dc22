"""Keys that configs have gained since workdirs were first written, and what held before them.

A config without one of them means what it always meant, and a workdir of before can be gone on with
by a config that has the key at this value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mole_jax.population import keys

BEFORE: dict[str, Any] = keys.BEFORE | {
    "representation.normaliser": "tensor",
    "metamodel.name": "dit",
    "metamodel.gpt": {},  # whatever it says now: nothing depended on it
    "training.spacing": "start_first",
    "training.ema_warmup": True,
    "training.metric": "",
    "training.schedule": "warmup_then_cosine",
    "evaluation.prompt_range": (),
    "zoo.members_per_group": 0,
}


def value(config: Mapping[str, Any], key: str) -> Any:
    """The value of one of these keys, such as "metamodel.name"."""
    section, _, name = key.partition(".")
    return config[section].get(name, BEFORE[key])
