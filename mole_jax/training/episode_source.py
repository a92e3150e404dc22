"""Episodes as the source of training batches: new tasks with support and query sets."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax.core import rng
from mole_jax.tasks.images import ImageTasks
from mole_jax.tasks.networks import Network
from mole_jax.training import fresh_classes, support_sets
from mole_jax.training.fresh_classes import FreshClasses
from mole_jax.training.learner import Episodes
from mole_jax.training.source import OnDevice
from mole_jax.training.support_sets import SupportSizes


@dataclasses.dataclass(frozen=True, eq=False)
class EpisodeSource(OnDevice):
    """Labelled tasks, each with a fresh support set, a fresh query set and a fresh start.

    Support sets come from the support pool and query sets from the training pool. These are
    disjoint, so a learner is trained to do well on examples that it has not adapted to.
    """

    network: Network
    tasks: jax.Array  # [T] the training tasks, positions in the task table
    data: ImageTasks
    batch_size: int
    support: SupportSizes
    queries: int  # query examples of each episode
    rename: float = 0.0  # share of episodes with labels renamed at random
    fresh: FreshClasses | None = None  # draws new classes; None: those of the training tasks

    @property
    def constants(self) -> tuple[jax.Array, ImageTasks, FreshClasses | None]:
        return self.tasks, self.data, self.fresh

    def draw(
        self, constants: Any, drawn: tuple[()], root: jax.Array, step: int | jax.Array
    ) -> Episodes:
        """Draw B episodes; their starts have no metric, which is NaN."""
        tasks, data, fresh = constants
        key = rng.at(root, "episodes", step)
        listed = task = jax.random.choice(rng.named(key, "task"), tasks, (self.batch_size,))
        if fresh is not None:
            own = data.classes_of(listed)
            classes = fresh_classes.draw(
                fresh, data.classes[listed], own, rng.named(key, "classes")
            )
            data, task = data.with_classes(listed, classes, own), jnp.arange(self.batch_size)

        def keys(name: str) -> jax.Array:
            return jax.random.split(rng.named(key, name), self.batch_size)

        def init(key: jax.Array) -> jax.Array:
            return self.network.spec.flatten(self.network.init(key))

        n_classes = self.network.n_classes
        query = jax.vmap(lambda t, k: data.draw("train", t, k, self.queries))(task, keys("query"))
        support = support_sets.draw(self.support, data, task, n_classes, rng.named(key, "support"))
        if self.rename:
            order = support_sets.random_orders(
                key, self.batch_size, n_classes, self.rename, data.classes_of(task)
            )
            support, query = (support_sets.renamed(x, order) for x in (support, query))
        return Episodes(
            task=listed,
            support=support,
            query=query,
            start=data.begun(self.network, jax.vmap(init)(keys("start")), task),
            start_metric=jnp.full(self.batch_size, jnp.nan),
        )
