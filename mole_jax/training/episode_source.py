"""Episodes as the source of a training's batches: new tasks with support and query sets."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from mole_jax.core import rng
from mole_jax.tasks.images import ImageTasks
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Episodes
from mole_jax.training.source import Feed


class Nothing:
    """The feed of a source whose batches are drawn on the device."""

    waited = 0.0
    resident = True

    def take(self, first: int, stop: int) -> tuple[()]:
        return ()


@dataclasses.dataclass(frozen=True, eq=False)
class EpisodeSource:
    """Labelled tasks, each with a fresh support set, a fresh query set and a fresh start.

    Support sets come from the support pool, query sets from the training pool, which are disjoint:
    a learner is trained to do well on examples that it has not adapted to.
    """

    network: Network
    tasks: jax.Array  # [T] the training tasks, positions in the task table
    data: ImageTasks
    batch_size: int
    shots: int  # support examples of each class
    queries: int  # of each episode

    @property
    def constants(self) -> tuple[jax.Array, ImageTasks]:
        return self.tasks, self.data

    def like(self, mesh: Mesh, n_steps: int) -> tuple[()]:
        return ()

    @contextlib.contextmanager
    def feed(
        self, root: jax.Array, mesh: Mesh, first_step: int, last_step: int, steps_ahead: int
    ) -> Iterator[Feed]:
        yield Nothing()

    def draw(
        self, constants: Any, drawn: tuple[()], root: jax.Array, step: int | jax.Array
    ) -> Episodes:
        """Draw B episodes; their starts have no metric, and NaN says so."""
        tasks, data = constants
        key = rng.at(root, "episodes", step)
        task = jax.random.choice(rng.named(key, "task"), tasks, (self.batch_size,))

        def keys(name: str) -> jax.Array:
            return jax.random.split(rng.named(key, name), self.batch_size)

        def init(key: jax.Array) -> jax.Array:
            return self.network.spec.flatten(self.network.init(key))

        return Episodes(
            task=task,
            support=jax.vmap(lambda t, k: data.support(t, k, self.shots))(task, keys("support")),
            query=jax.vmap(lambda t, k: data.draw("train", t, k, self.queries))(
                task, keys("query")
            ),
            start=jax.vmap(init)(keys("start")),
            start_metric=jnp.full(self.batch_size, jnp.nan),
        )
