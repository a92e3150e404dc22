"""How the members of an experiment are trained: by supervised learning, or policies by PPO."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.population import hyperparameters, ppo
from mole_jax.population.member import SCHEDULES, Recipe
from mole_jax.population.ppo import PPORecipe
from mole_jax.tasks.family import TaskFamily
from mole_jax.tasks.networks import Network

# Spacing of snapshots: ever farther apart by a power, or at random.
SPACINGS = ("power", "random")


def _value(config: Mapping[str, Any], name: str) -> Any:
    return compat.get_from(config, "population", name)


def check(config: Mapping[str, Any]) -> None:
    """Raise UserError for invalid values of `config.population`."""
    for name, least in (("members", 1), ("steps", 1), ("snapshots", 2), ("batch_size", 1)):
        if config[name] < least:
            raise UserError(f"population.{name}={config[name]} must be {least} or more")
    if config["at_once"] < 0:
        raise UserError(
            f"population.at_once={config['at_once']} must be 1 or more, or 0 to have it measured"
        )
    if not 0 <= config["held_out_members"] < config["members"]:
        raise UserError(
            f"population.held_out_members={config['held_out_members']} must lie in "
            f"0..{config['members'] - 1}: of {config['members']} members one or more must stay"
        )
    if (spacing := _value(config, "snapshot_spacing")) not in SPACINGS:
        raise UserError(f"population.snapshot_spacing={spacing!r} is unknown; there are {SPACINGS}")
    if spacing == "random" and config["snapshots"] > config["steps"] + 1:
        raise UserError(
            f"population.snapshots={config['snapshots']} at random steps need as many steps: "
            f"population.steps={config['steps']} have {config['steps'] + 1} states"
        )
    if not 0 <= _value(config, "max_weight") < np.inf:
        raise UserError(
            f"population.max_weight={_value(config, 'max_weight')} must be above 0, or 0 for none"
        )
    if _value(config, "epoch_steps") < 0:
        raise UserError(
            f"population.epoch_steps={_value(config, 'epoch_steps')} must be 1 or more, or 0 to "
            "have the schedule change at every step"
        )
    if not 0 < config["snapshot_power"] < np.inf:
        raise UserError(f"population.snapshot_power={config['snapshot_power']} must be above 0")
    if config["shared_start"] and tuple(config["init_scale"]) != (1, 1):
        raise UserError(
            f"population.init_scale={tuple(config['init_scale'])} must be (1, 1) with "
            "population.shared_start: starts are then newly drawn in training, unscaled"
        )
    if config["schedule"] not in SCHEDULES:
        raise UserError(
            f"population.schedule={config['schedule']!r} is unknown; there are {SCHEDULES}"
        )
    hyperparameters.check(config)


def of(config: Mapping[str, Any], network: Network) -> Recipe | PPORecipe:
    """Return the recipe of `config.population` for a network: a step of PPO is an iteration.

    Snapshots lie at `steps * (i / (snapshots - 1)) ** snapshot_power`: a power above 1 puts more
    of them where the loss falls fast. Snapshots that fall on the same step become one. With
    `snapshot_spacing="random"` all but the first and the last lie at uniformly random steps
    (Peebles et al. 2022), which all members share.
    """
    if _value(config, "snapshot_spacing") == "random":
        steps = random_steps(config["steps"], config["snapshots"])
    else:
        steps = snapshot_steps(config["steps"], config["snapshots"], config["snapshot_power"])
    if not network.classifies:
        return PPORecipe(
            snapshot_steps=steps,
            schedule=config["schedule"],
            optimizers=tuple(config["optimizers"]),
            coupled_decay=_value(config, "coupled_decay"),
            **dict(config["ppo"]),
        )
    return Recipe(
        snapshot_steps=steps,
        batch_size=config["batch_size"],
        schedule=config["schedule"],
        optimizers=tuple(config["optimizers"]),
        share_minibatches=config["share_minibatches"],
        coupled_decay=_value(config, "coupled_decay"),
        epoch_steps=_value(config, "epoch_steps"),
    )


def adam(recipe: Recipe | PPORecipe, snapshot_steps: tuple[int, ...]) -> Recipe | PPORecipe:
    """Return the same training by Adam alone, with other snapshots; members share minibatches."""
    changes: dict[str, Any] = {"snapshot_steps": snapshot_steps, "optimizers": ("adam",)}
    if isinstance(recipe, Recipe):
        changes["share_minibatches"] = True
    return dataclasses.replace(recipe, **changes)


def snapshot_steps(steps: int, snapshots: int, power: float) -> tuple[int, ...]:
    """Return the steps of snapshots: the first is 0 and the last is `steps`."""
    fraction = np.linspace(0, 1, snapshots) ** power
    return tuple(np.unique(np.round(fraction * steps).astype(int)).tolist())


def random_steps(steps: int, snapshots: int) -> tuple[int, ...]:
    """Draw steps of snapshots: 0, `steps`, and different ones between them, all equally likely.

    They depend on the two numbers alone.
    """
    rng = np.random.default_rng([steps, snapshots, 0x57E9])
    between = rng.choice(np.arange(1, steps), snapshots - 2, replace=False)
    return (0, *np.sort(between).tolist(), steps)


def examples_per_step(recipe: Recipe | PPORecipe) -> int:
    """Count the examples whose gradient is taken in one step."""
    if isinstance(recipe, Recipe):
        return recipe.batch_size
    return recipe.environments * recipe.rollout * recipe.epochs


def check_fits(config: Mapping[str, Any], family: TaskFamily) -> None:
    """Raise UserError for a population that cannot be trained on the tasks of a family."""
    recipe = of(config, family.network)
    if isinstance(recipe, PPORecipe):
        ppo.check(recipe, family.network, family.device_data.environment)
