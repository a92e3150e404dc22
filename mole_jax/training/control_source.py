"""Control tasks as the source of training batches, for learners that practise in them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax.core import rng
from mole_jax.tasks.control import ControlTasks
from mole_jax.tasks.networks import Network
from mole_jax.training import support_sets
from mole_jax.training.learner import Episodes
from mole_jax.training.source import OnDevice
from mole_jax.training.support_sets import SupportSizes


@dataclasses.dataclass(frozen=True, eq=False)
class ControlSource(OnDevice):
    """Tasks to practise in, each with a fresh support set and a fresh start; no query sets."""

    network: Network
    tasks: jax.Array  # [T] the training tasks, positions in the task table
    data: ControlTasks
    batch_size: int
    support: SupportSizes

    @property
    def constants(self) -> tuple[jax.Array, ControlTasks]:
        return self.tasks, self.data

    def draw(
        self, constants: Any, drawn: tuple[()], root: jax.Array, step: int | jax.Array
    ) -> Episodes:
        """Draw B episodes; their starts have no metric, which is NaN."""
        tasks, data = constants
        key = rng.at(root, "episodes", step)
        task = jax.random.choice(rng.named(key, "task"), tasks, (self.batch_size,))

        def init(key: jax.Array) -> jax.Array:
            return self.network.spec.flatten(self.network.init(key))

        return Episodes(
            task=task,
            support=support_sets.draw(self.support, data, task, 1, rng.named(key, "support")),
            start=jax.vmap(init)(jax.random.split(rng.named(key, "start"), self.batch_size)),
            start_metric=jnp.full(self.batch_size, jnp.nan),
            world=data.world(task),
        )
