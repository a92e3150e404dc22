"""What the sections `evaluation`, `data` and `population` of a config say together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.core.program.sections import read
from mole_jax.evaluation.harness.evaluation_config import EvaluationConfig


def check(config: Mapping[str, Any]) -> None:
    """Raise UserError for impossible evaluation settings, naming the key."""
    settings = config["evaluation"]
    read(EvaluationConfig, settings, "evaluation").check()
    held_out, members = config["data"]["held_out_subsets"], config["population"]["members"]
    if held_out and settings["starts"] > members:
        raise UserError(
            f"evaluation.starts={settings['starts']} is more than the population.members={members} "
            "that a data subset has; lower it"
        )
    if not held_out and not config["population"]["held_out_members"]:
        raise UserError(
            "nothing is held out to evaluate on; raise data.held_out_subsets or "
            "population.held_out_members"
        )


def prompt_range(config: Mapping[str, Any]) -> tuple[float, ...]:
    """(best, share of the start's metric) of the grid of prompts, or ()."""
    return tuple(config["evaluation"].get("prompt_range", ()))


def adam_steps(config: Mapping[str, Any]) -> int:
    """Return how long Adam trains as a baseline, in steps."""
    return config["evaluation"]["adam_steps"] or config["population"]["steps"]


def support_sizes(config: Mapping[str, Any]) -> list[int]:
    """Return examples per class that are tried, increasing; the last is data.support_per_class."""
    most = config["data"]["support_per_class"]
    return [*sorted({s for s in config["evaluation"]["support_sizes"] if s < most}), most]
