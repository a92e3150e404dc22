"""Reptile: move the start towards what a few gradient steps on each task lead to.

Nichol et al. 2018, On First-Order Meta-Learning Algorithms. Its pseudo-gradient goes to the same
optimizer as everyone's gradient, as the paper suggests (section 2).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import rng
from mole_jax.learners import query_loss
from mole_jax.learners.ancestors import descent
from mole_jax.learners.ancestors.ancestor import Ancestor
from mole_jax.learners.ancestors.maml import DescentConfig
from mole_jax.metamodel.networks import sharding
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, fewer_outputs
from mole_jax.training import microbatch
from mole_jax.training.learner import Episodes, Label, Request, Uses

NAME = "reptile"
LABEL = Label("Reptile", "Moves its start towards what a few steps on each task lead to.")
# Examples of an inner step in meta-training (the paper's for 5 classes). Minibatches matter: with
# one and the same batch in all steps, Reptile would learn the mean task (section 5.1 there).
MINIBATCH = 10


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["scale"],
    meta_fields=["network", "name", "label", "mesh", "parts", "config", "steps"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Reptile(Ancestor):
    """A start, which is theta, and the steps from it."""

    config: DescentConfig
    steps: int  # of an adaptation
    scale: Any  # of its rate

    uses: ClassVar[Uses] = Uses(start=False, target_metric=False, samples=False)

    def init(self, key: jax.Array) -> dict[str, jax.Array]:
        """Return a fresh network."""
        return {"start": self.network.spec.flatten(self.network.init(rng.named(key, "start")))}

    def gradient(
        self, theta: Any, batch: Episodes, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Return the mean way back from the networks of the tasks, in units of a step."""
        assert batch.query is not None
        given = batch.support, batch.query, jax.random.split(key, len(batch.start))
        given = sharding.shard_batch(given, self.mesh)

        def of(part: Any) -> tuple[Any, dict[str, jax.Array]]:
            whole = theta if self.mesh is None else sharding.gathered(theta, self.mesh)
            moved, loss = jax.vmap(functools.partial(self._moved, whole["start"]))(*part)
            return {"start": jnp.mean(moved, axis=0)}, {"loss": jnp.mean(loss)}

        found: tuple[Any, dict[str, jax.Array]] = microbatch.mean(of, given, self.parts, self.mesh)
        return found

    def _moved(
        self, begun: jax.Array, support: Examples, query: Examples, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Return how far a task's network is behind its start, and its last minibatch's loss."""
        inputs, labels, mask = (
            jnp.concatenate(x) for x in zip(support[:3], query[:3], strict=True)
        )
        start = fewer_outputs.emptied(self.network, begun, support.n_classes)
        size = min(MINIBATCH, len(mask))

        def step(flat: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            # Padding is not drawn: it has the lowest of random numbers.
            drawn = jax.lax.top_k(jax.random.uniform(key, mask.shape) + mask, size)[1]
            some = Examples(inputs[drawn], labels[drawn], mask[drawn], support.n_classes)
            loss, slope = jax.value_and_grad(lambda x: query_loss.of_one(self.network, x, some)[0])(
                flat
            )
            return flat - self.config.inner_rate * slope, loss

        keys = jax.random.split(key, self.config.inner_steps)
        flat, losses = jax.lax.scan(step, start, keys)
        return (start - flat) / (self.config.inner_rate * self.config.inner_steps), losses[-1]

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> jax.Array:
        """Take gradient steps on the whole of every support set: [B, D]."""
        of = functools.partial(
            descent.descend,
            self.network,
            theta["start"],
            rate=self.config.inner_rate * self.scale,
            steps=self.steps,
        )
        return descent.for_each(of, episodes.support, len(episodes.start))

    @property
    def setting(self) -> dict[str, Any]:
        """Return the number of steps, and their rate in units of the trained one."""
        return descent.setting(self)

    def choices(self) -> tuple[Reptile, ...]:
        """Return the numbers of steps and the rates to be tried."""
        return descent.choices(self)


def build(config: DescentConfig, network: Network, name: str) -> Reptile:
    """Build the learner."""
    return Reptile(network, name, LABEL, None, 1, config, config.try_steps[-1], np.float32(1))
