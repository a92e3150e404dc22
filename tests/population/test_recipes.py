"""Recipes say what a config's population is trained with, and what cannot be."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from mole_jax.core.errors import UserError
from mole_jax.core.program import sections
from mole_jax.population import recipes
from mole_jax.population.member import Recipe
from mole_jax.population.population_config import PPOConfig
from mole_jax.population.ppo import PPORecipe
from mole_jax.tasks import networks
from mole_jax.tasks.images import ImageFamily
from tests import tiny

CONFIG = {
    "members": 4,
    "held_out_members": 1,
    "steps": 100,
    "snapshots": 5,
    "snapshot_power": 2.0,
    "batch_size": 8,
    "schedule": "constant",
    "share_minibatches": True,
    "optimizers": ("adam",),
    "learning_rate": (1e-3, 1e-2),
    "weight_decay": (0.0, 0.1),
    "init_scale": (1.0, 1.0),
    "shared_start": False,
    "at_once": 0,
}


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"snapshot_power": 1.0}, (0, 25, 50, 75, 100)),
        ({"snapshot_power": 2.0}, (0, 6, 25, 56, 100)),
        ({"snapshots": 2}, (0, 100)),
        ({"steps": 3, "snapshots": 9, "snapshot_power": 1.0}, (0, 1, 2, 3)),  # none twice
    ],
)
def test_snapshot_steps(
    changes: dict[str, Any], steps: tuple[int, ...], digits: ImageFamily
) -> None:
    assert recipes.of({**CONFIG, **changes}, digits.network).snapshot_steps == steps


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "population.steps=0 must be 1 or more"),
        ({"snapshots": 1}, "population.snapshots=1 must be 2 or more"),
        ({"batch_size": 0}, "population.batch_size=0"),
        ({"members": 0}, "population.members=0"),
        ({"at_once": -1}, "population.at_once=-1 must be 1 or more, or 0"),
        ({"held_out_members": 4}, "population.held_out_members=4 must lie in 0..3"),
        ({"held_out_members": -1}, "population.held_out_members=-1"),
        ({"snapshot_power": 0.0}, "population.snapshot_power=0.0 must be above 0"),
        ({"schedule": "linear"}, "population.schedule='linear' is unknown; there are"),
        ({"init_scale": (0.0, 1.0)}, "population.init_scale"),
        ({"snapshot_spacing": "even"}, "population.snapshot_spacing='even' is unknown"),
        ({"snapshot_spacing": "random", "snapshots": 102}, "snapshots=102 at random steps"),
        ({"max_weight": -1.0}, "population.max_weight=-1.0 must be above 0"),
        ({"epoch_steps": -1}, "population.epoch_steps=-1 must be 1 or more"),
    ],
)
def test_impossible_populations_are_refused(changes: dict[str, Any], message: str) -> None:
    recipes.check(CONFIG)
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        recipes.check({**CONFIG, **changes})


PPO = ConfigDict(sections.defaults(PPOConfig))


def test_policies_are_trained_by_ppo(digits: ImageFamily) -> None:
    population = tiny.tiny_config().population.copy_and_resolve_references()
    with population.unlocked():
        population.ppo = PPO
    policy = networks.build(
        {"name": "gaussian_policy", "hidden": (8,), "activation": "tanh"}, (4,), 1
    )
    assert isinstance(recipes.of(population, digits.network), Recipe)
    recipe = recipes.of(population, policy)
    assert isinstance(recipe, PPORecipe)
    assert {name: getattr(recipe, name) for name in population.ppo} == population.ppo.to_dict()
    assert recipes.examples_per_step(recipe) == 512 * 16 * 8
    assert recipes.examples_per_step(recipes.of(population, digits.network)) == 16


@pytest.mark.parametrize("share", [False, True])
def test_adam_keeps_all_but_optimizers_and_snapshots(share: bool, digits: ImageFamily) -> None:
    config = {**CONFIG, "optimizers": ("sgd", "adam"), "share_minibatches": share}
    recipe = recipes.of(config, digits.network)
    found = recipes.adam(recipe, (0, 7))
    assert dataclasses.asdict(found) == {
        **dataclasses.asdict(recipe),
        "optimizers": ("adam",),
        "snapshot_steps": (0, 7),
        "share_minibatches": True,
    }


def test_random_snapshots_are_the_first_the_last_and_any_between() -> None:
    steps = np.array(recipes.random_steps(11_700, 200))
    assert len(steps) == 200 and steps[0] == 0 and steps[-1] == 11_700
    assert (np.diff(steps) > 0).all()
    # Uniform: a fifth of them in each fifth of the steps, give or take.
    assert np.histogram(steps, 5)[0].min() > 25
    assert recipes.random_steps(11_700, 200) == tuple(steps.tolist())
    assert recipes.random_steps(4, 5) == (0, 1, 2, 3, 4)
