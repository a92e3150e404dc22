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
from mole_jax.learners.ancestors import evolved, l2l, maml, prototypes, reptile, sequence
from mole_jax.learners.diffusion import Diffusion
from mole_jax.learners.end_to_end import EndToEnd
from mole_jax.learners.learners_config import LearnersConfig
from mole_jax.metamodel.process import sampler
from mole_jax.metamodel.process.sampler import DEFAULT, Plan
from mole_jax.representation.fitted import Fitted
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Learner
from mole_jax.training.train_config import TrainConfig

# metamodel.name -> the main learner.
MAIN = {"dit": diffusion.build, "gpt": gpt.build}
# Learners made from the main one; each is trained for training.NAME_steps, and 0 leaves it out.
RIVALS: dict[str, Callable[[Diffusion], Diffusion | EndToEnd]] = {
    "regression": regression.of,
    "end_to_end": end_to_end.of,
}
# config.learners.NAME -> the learner: (its section, network, its name).
ANCESTORS: dict[str, Callable[..., Learner]] = {
    **dict.fromkeys(maml.LABELS, maml.build),
    reptile.NAME: reptile.build,
    **dict.fromkeys(prototypes.LABELS, prototypes.build),
    l2l.NAME: l2l.build,
    **dict.fromkeys(sequence.LABELS, sequence.build),
    evolved.NAME: evolved.build,
}
# Learners for policies: they practise in the task's environment.
PRACTISING = (*maml.LABELS, reptile.NAME)
NAMES = ("diffusion", *RIVALS, *ANCESTORS)


def of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the learners that a config trains, the main one first."""
    return (NAMES[0], *(name for name in NAMES[1:] if _steps(config, name)))


def build(
    config: Mapping[str, Any],
    network: Network,
    name: str,
    fitted: Fitted,
    plan: Plan = DEFAULT,
) -> Learner:
    """Build a learner of a config.

    Raises:
        UserError: for an unknown name or an invalid config.
    """
    if name not in NAMES:
        raise UserError(f"learner {name!r} is unknown; there are {NAMES}")
    if name in ANCESTORS:
        return ANCESTORS[name](getattr(LearnersConfig.of(config), name), network, name)
    kind = compat.get(config, "metamodel.name")
    if kind not in MAIN:
        raise UserError(f"metamodel.name={kind!r} is unknown; there are {tuple(MAIN)}")
    main = MAIN[kind](config, network, fitted, plan)
    return main if name == main.name else RIVALS[name](main)


def check(config: Mapping[str, Any], network: Network, mesh: Mesh) -> None:
    """Raise UserError if a learner of a config cannot be built, trained or sampled from."""
    if _steps(config, "end_to_end") and not (network.classifies and _sees_support(config)):
        raise UserError(
            f"training.end_to_end_steps={_steps(config, 'end_to_end')} needs labelled examples, "
            "and a meta-model that looks at them: set it to 0"
        )
    _check_ancestors(config, network)
    if compat.get(config, "representation.align") and config["zoo"]["placement"] == "stream":
        raise UserError(
            "representation.align brings all runs into one basis before the training, but "
            "zoo.placement='stream' leaves them in their files: set it to 'auto', 'device' or "
            "'host'"
        )
    for name in of(config):
        learner = build(config, network, name, representation.shapes(config, network))
        train_config(config, name).check_mesh(mesh)
        learner.check_mesh(mesh)
    plan(config)


def plan(config: Mapping[str, Any]) -> Plan:
    """Return how a config samples; raises UserError."""
    drop = config["training"]["drop"]
    return sampler.plan(config["sampling"], config["diffusion"]["steps"], drop)


def train_config(config: Mapping[str, Any], name: str) -> TrainConfig:
    """Return the hyperparameters that a learner is trained with; raises UserError."""
    found = TrainConfig.of(config)
    if name == NAMES[0]:
        return found
    steps = _steps(config, name)
    changed: dict[str, Any] = {
        "steps": steps,
        "warmup_steps": min(found.warmup_steps, max(steps // 10, 1)),
    }
    if name == "end_to_end":
        changed["learning_rate"] = found.end_to_end_rate
        changed["rate_key"] = "training.end_to_end_rate"
    if name in ANCESTORS:
        own = getattr(LearnersConfig.of(config), name)
        changed["learning_rate"] = own.rate
        changed["rate_key"] = " or ".join(f"learners.{name}.{key}" for key in own.knobs)
        changed["apart"] = True
        changed["batch_size"] = own.batch_size or found.batch_size
        # An evolution strategy's step is taken as it is, without AdamW.
        changed["plain"] = name == evolved.NAME
    return dataclasses.replace(found, **changed)


def _check_ancestors(config: Mapping[str, Any], network: Network) -> None:
    """Raise UserError for invalid `config.learners`, and learners that do not fit the network."""
    section = LearnersConfig.of(config)
    section.check()
    parts = config["training"]["accumulate"]
    none = representation.shapes(config, network)
    for name, steps in section.steps().items():
        own = getattr(section, name)
        if steps and own.batch_size % parts:
            raise UserError(
                f"learners.{name}.batch_size={own.batch_size} must be a multiple of "
                f"training.accumulate={parts}, the parts that every batch is cut into"
            )
        if steps and network.acts and name not in PRACTISING:
            raise UserError(
                f"learners.{name}.steps={steps} needs labelled examples, but network.name="
                f"{network.name!r} has none; set it to 0, or use a learner that practises in the "
                f"environment: {', '.join(PRACTISING)}"
            )
        moved = getattr(own, "warps", 0.0)
        if steps and moved and (network.acts or len(network.input_shape) != 3):
            raise UserError(
                f"learners.{name}.warps={moved} moves images, but network.name={network.name!r} "
                f"sees {network.input_shape}; set it to 0"
            )
        if (
            steps
            and network.frame is not None
            and build(config, network, name, none).writes_networks
        ):
            raise UserError(
                f"learners.{name}.steps={steps} is for networks of one size, but network.name="
                f"{network.name!r} has several; set it to 0"
            )
    own = config["network"]
    layers = own["name"] == "mlp" and own["activation"] == "relu"
    if section.evolved.steps and not layers:
        raise UserError(
            f"learners.evolved.steps={section.evolved.steps}: its rule is for network.name='mlp' "
            f"with network.activation='relu', but this one is {own['name']!r} with "
            f"{own.get('activation')!r}; set it to 0"
        )


def _steps(config: Mapping[str, Any], name: str) -> int:
    if name in ANCESTORS:
        return LearnersConfig.of(config).steps()[name]
    key = f"{name}_steps"
    late = f"training.{key}" in compat.DEFAULTS
    return int(compat.get(config, f"training.{key}") if late else config["training"][key])


def _sees_support(config: Mapping[str, Any]) -> bool:
    return compat.get(config, "metamodel.name") == "dit"
