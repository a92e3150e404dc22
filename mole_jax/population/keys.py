"""Keys of tasks and populations that configs have gained since zoos were first made.

A config without one of them means what it always meant. A zoo whose config has one at this value
does not name it, so that it is the zoo of before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BEFORE: dict[str, Any] = {
    "data.pixel_mean": (),
    "data.pixel_std": (),
    "data.settings": "random",
    "network.init": "default",
    "population.coupled_decay": False,
    "population.epoch_steps": 0,
    "population.snapshot_spacing": "power",
    "population.max_weight": 0.0,
}


def value(section: str, config: Mapping[str, Any], name: str) -> Any:
    """The value of one of these keys in a section of a config."""
    return config.get(name, BEFORE[f"{section}.{name}"])


def said(section: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A section without those of these keys that are at their value of before."""

    def plain(x: Any) -> Any:
        return tuple(x) if isinstance(x, list) else x

    return {
        name: x
        for name, x in config.items()
        if f"{section}.{name}" not in BEFORE or plain(x) != BEFORE[f"{section}.{name}"]
    }
