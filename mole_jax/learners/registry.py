"""Which learners there are, and which of them a config trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jax.sharding import Mesh

from mole_jax import representation
from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.learners import diffusion, end_to_end, gpt, regression
from mole_jax.learners.diffusion import Diffusion
from mole_jax.learners.end_to_end import EndToEnd
from mole_jax.metamodel.process import sampler
from mole_jax.metamodel.process.sampler import DEFAULT, Plan
from mole_jax.representation.fitted import Fitted
from mole_jax.tasks.networks import Network
from mole_jax.training.train_config import TrainConfig

# metamodel.name -> the learner that the main one is.
MAIN = {"dit": diffusion.build, "gpt": gpt.build}
# Made of the main one, each of them trained for training.NAME_steps; 0 leaves it out.
RIVALS: dict[str, Callable[[Diffusion], Diffusion | EndToEnd]] = {
    "regression": regression.of,
    "end_to_end": end_to_end.of,
}
NAMES = ("diffusion", *RIVALS)


def of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the learners that a config trains, the main one first."""
    return (NAMES[0], *(name for name in RIVALS if _steps(config, name)))


def build(
    config: Mapping[str, Any],
    network: Network,
    name: str,
    fitted: Fitted,
    plan: Plan = DEFAULT,
) -> Diffusion | EndToEnd:
    """Build a learner of a config.

    Raises:
        UserError: for an unknown name, and for anything in the config that cannot be.
    """
    if name not in NAMES:
        raise UserError(f"learner {name!r} is unknown; there are {NAMES}")
    kind = compat.get(config, "metamodel.name")
    if kind not in MAIN:
        raise UserError(f"metamodel.name={kind!r} is unknown; there are {tuple(MAIN)}")
    main = MAIN[kind](config, network, fitted, plan)
    return main if name == main.name else RIVALS[name](main)


def check(config: Mapping[str, Any], network: Network, mesh: Mesh) -> None:
    """Raise UserError where a learner of a config cannot be built, trained or sampled from."""
    if _steps(config, "end_to_end") and not (network.classifies and _sees_support(config)):
        raise UserError(
            f"training.end_to_end_steps={_steps(config, 'end_to_end')} needs labelled examples, "
            "and a meta-model that looks at them: set it to 0"
        )
    for name in of(config):
        learner = build(config, network, name, representation.shapes(config, network))
        train_config(config, name).check_mesh(mesh)
        learner.check_mesh(mesh)
    plan(config)


def plan(config: Mapping[str, Any]) -> Plan:
    """Return how a config samples; raises UserError."""
    return sampler.plan(config["sampling"], config["diffusion"]["steps"])


def train_config(config: Mapping[str, Any], name: str) -> TrainConfig:
    """Return the hyperparameters that a learner is trained with; raises UserError."""
    found = TrainConfig.of(config)
    if name == NAMES[0]:
        return found
    steps = _steps(config, name)
    warmup = min(found.warmup_steps, max(steps // 10, 1))
    rate = found.end_to_end_rate if name == "end_to_end" else found.learning_rate
    return dataclasses.replace(found, steps=steps, warmup_steps=warmup, learning_rate=rate)


def _steps(config: Mapping[str, Any], name: str) -> int:
    key = f"{name}_steps"
    late = f"training.{key}" in compat.DEFAULTS
    return int(compat.get(config, f"training.{key}") if late else config["training"][key])


def _sees_support(config: Mapping[str, Any]) -> bool:
    return compat.get(config, "metamodel.name") == "dit"
