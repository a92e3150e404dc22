"""MAML: an initialisation from which a few gradient steps on a support set lead to a good network.

Finn et al. 2017, Model-Agnostic Meta-Learning; `fomaml` leaves out the gradients of gradients
(section 5.2 there). `meta_sgd` also learns the rate of every parameter (Li et al. 2017).
Policies adapt to rollouts in the task's environment and are evaluated on new ones (section 4.2
there); the outer step is the optimizer's, as for classifiers, where the paper uses TRPO.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.learners import query_loss
from mole_jax.learners.ancestors import descent
from mole_jax.learners.ancestors.descent import Descending, DescentConfig
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Episodes, Label, Request

SECOND, FIRST, LEARNED = "maml", "fomaml", "meta_sgd"
LABELS = {
    SECOND: Label("MAML", "A start from which a few gradient steps lead to a good network."),
    FIRST: Label("First-order MAML", "MAML without the gradients of gradients."),
    LEARNED: Label("Meta-SGD", "MAML that also learns the rate of every parameter."),
}


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["scale"],
    meta_fields=["network", "name", "label", "mesh", "parts", "config", "steps"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class MAML(Descending):
    """A start, and the steps from it; theta is the start [D] and, if learned, the rates [D]."""

    def init(self, key: jax.Array) -> dict[str, jax.Array]:
        """Return a fresh network, and equal rates."""
        found = super().init(key)
        if self.name == LEARNED:
            found["rates"] = jnp.full_like(found["start"], self.config.inner_rate)
        return found

    def gradient(
        self, theta: Any, batch: Episodes, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Return the gradient of the adapted networks' loss on unseen examples or rollouts."""

        def loss(
            theta: Any, given: tuple[Episodes, jax.Array]
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            episodes, keys = given
            flat = self.trained._adapted(theta, episodes, keys, second_order=self.name != FIRST)
            return descent.judged(self.config, self.network, flat, episodes, keys)

        keys = jax.random.split(key, len(batch.start))
        return query_loss.gradient(loss, theta, (batch, keys), self.mesh, self.parts)

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> jax.Array:
        """Adapt to every support set: [B, D]."""
        return self._adapted(theta, episodes, jax.random.split(key, len(episodes.start)))

    def _adapted(
        self, theta: Any, episodes: Episodes, keys: jax.Array, *, second_order: bool = False
    ) -> jax.Array:
        return descent.adapted(
            self.config,
            self.network,
            theta["start"],
            episodes,
            keys,
            rate=theta.get("rates", self.config.inner_rate) * self.scale,
            steps=self.steps,
            second_order=second_order,
        )


def build(config: DescentConfig, network: Network, name: str) -> MAML:
    """Build one of LABELS."""
    return MAML(network, name, LABELS[name], None, 1, config, config.try_steps[-1], np.float32(1))
