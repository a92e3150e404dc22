"""Reptile: move the start towards what a few gradient steps on each task lead to.

Nichol et al. 2018, On First-Order Meta-Learning Algorithms. Its pseudo-gradient goes to the same
optimizer as the other learners' gradients, as the paper suggests (section 2).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import rng
from mole_jax.learners import query_loss
from mole_jax.learners.ancestors import descent
from mole_jax.learners.ancestors.descent import Descending, DescentConfig
from mole_jax.metamodel.networks import sharding
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, fewer_outputs
from mole_jax.training import microbatch
from mole_jax.training.learner import Episodes, Label, Request

NAME = "reptile"
LABEL = Label("Reptile", "Moves its start towards what a few steps on each task lead to.")
# Examples per inner step in meta-training (the paper's number for 5 classes). Minibatches matter:
# with the same batch in all steps, Reptile would learn the mean task (section 5.1 there).
MINIBATCH = 10


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["scale"],
    meta_fields=["network", "name", "label", "mesh", "parts", "config", "steps"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Reptile(Descending):
    """A start, which is theta, and the steps from it."""

    def gradient(
        self, theta: Any, batch: Episodes, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Return the mean of start minus adapted network, in units of a step."""
        given = batch, jax.random.split(key, len(batch.start))
        given = sharding.shard_batch(given, self.mesh)

        def of(part: Any) -> tuple[Any, dict[str, jax.Array]]:
            whole = theta if self.mesh is None else sharding.gathered(theta, self.mesh)
            of_one = self._practised if self.network.acts else self._moved
            moved, loss = jax.vmap(functools.partial(of_one, whole["start"]))(*part)
            return {"start": jnp.mean(moved, axis=0)}, {"loss": jnp.mean(loss)}

        found: tuple[Any, dict[str, jax.Array]] = microbatch.mean(of, given, self.parts, self.mesh)
        return found

    def _practised(
        self, start: jax.Array, episode: Episodes, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Return a policy's start minus its adapted parameters, and the return that it misses."""
        rate, steps = self.config.inner_rate, self.config.inner_steps
        given = descent.material(episode)
        flat = descent.descend(self.config, self.network, start, given, key, rate=rate, steps=steps)
        judge = rng.named(key, "judge")
        missed = descent.loss(self.config, self.network, flat, given, judge)[1]
        return (start - flat) / (rate * steps), missed

    def _moved(
        self, begun: jax.Array, episode: Episodes, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Return a network's start minus its adapted parameters, and its last minibatch's loss."""
        support, query = episode.support, episode.query
        assert query is not None
        inputs, labels, mask = (
            jnp.concatenate(x) for x in zip(support[:3], query[:3], strict=True)
        )
        start = fewer_outputs.emptied(self.network, begun, support.n_classes)
        size = min(MINIBATCH, len(mask))

        def step(flat: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            # Padding has the lowest random numbers, and is not drawn.
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
        return descent.adapted(
            self.config,
            self.network,
            theta["start"],
            episodes,
            jax.random.split(key, len(episodes.start)),
            rate=self.config.inner_rate * self.scale,
            steps=self.steps,
        )


def build(config: DescentConfig, network: Network, name: str) -> Reptile:
    """Build the learner."""
    return Reptile(network, name, LABEL, None, 1, config, config.try_steps[-1], np.float32(1))
