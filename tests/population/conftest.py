"""Digits, 3 of 10 classes, MLP 64-8-3, and a population of three subsets with two members each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from mole_jax.core import rng
from mole_jax.core.devices.mesh import AXES
from mole_jax.population import engine
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import History, Recipe
from mole_jax.tasks import family as families
from mole_jax.tasks.images import ImageFamily
from tests import tiny

RECIPE = Recipe(
    snapshot_steps=(0, 5, 25),
    batch_size=16,
    schedule="cosine",
    optimizers=("adam", "sgd"),
    share_minibatches=True,
)


class Population(NamedTuple):
    """What `engine.train` is called with, for G = 3 subsets x M = 2 members."""

    family: ImageFamily
    recipe: Recipe
    tasks: jax.Array  # [G]
    batch_keys: jax.Array  # [G]
    starts: jax.Array  # [G, M, D]
    hyper: Hyperparameters  # leaves [G, M]

    def train(self, mesh: Mesh, **changes: Any) -> History:
        return engine.train(
            self.family.network,
            self.recipe,
            self.family.device_data,
            self.tasks,
            self.batch_keys,
            self.starts,
            self.hyper,
            mesh=mesh,
            **changes,
        )


@pytest.fixture(scope="session")
def digits() -> ImageFamily:
    data = tiny.data_config(
        max_per_class={"train": 30, "validation": 10, "test": 0},
        classes_per_subset=3,
        train_subsets=20,
        held_out_subsets=2,
        support_per_class=5,
    )
    network = {"name": "mlp", "hidden": (8,), "activation": "relu"}
    return families.build({"seed": 0, "data": data, "network": network})


@pytest.fixture(scope="session")
def population(digits: ImageFamily) -> Population:
    root = rng.key(0)
    hyper = Hyperparameters(
        learning_rate=jnp.array([[0.01, 0.02], [0.03, 0.01], [0.02, 0.02]]),
        weight_decay=jnp.array([[0.0, 0.1], [0.1, 0.0], [0.0, 0.0]]),
        init_scale=jnp.array([[1.0, 0.5], [1.0, 1.0], [2.0, 1.0]]),
        optimizer=jnp.array([[0, 1], [1, 0], [0, 0]], jnp.int32),
    )
    return Population(
        family=digits,
        recipe=RECIPE,
        tasks=jnp.arange(3),
        batch_keys=jax.random.split(rng.named(root, "minibatches"), 3),
        starts=engine.initial(digits.network, root, jnp.arange(6).reshape(3, 2), hyper),
        hyper=hyper,
    )


@pytest.fixture(scope="session")
def make_mesh() -> Callable[[int], Mesh]:
    """A mesh of the first n devices, all on the axis "data"."""

    def make(n: int) -> Mesh:
        devices = np.array(jax.devices()[:n]).reshape(n, 1, 1)
        return Mesh(devices, AXES, axis_types=(AxisType.Auto,) * 3)

    return make


@pytest.fixture(scope="session")
def history(population: Population, make_mesh: Callable[[int], Mesh]) -> History:
    """The population trained on one device."""
    return jax.tree.map(np.asarray, population.train(make_mesh(1)))
