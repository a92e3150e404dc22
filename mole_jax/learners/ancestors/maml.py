"""MAML: an initialisation from which a few gradient steps on a support set lead to a good network.

Finn et al. 2017, Model-Agnostic Meta-Learning; `fomaml` leaves out the gradients of gradients
(section 5.2 there). `meta_sgd` learns the rate of every parameter as well (Li et al. 2017).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.learners import query_loss
from mole_jax.learners.ancestors import descent
from mole_jax.learners.ancestors.ancestor import Ancestor, AncestorConfig, check_tries
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Episodes, Label, Request, Uses


@dataclasses.dataclass(frozen=True)
class DescentConfig(AncestorConfig):
    """The section of a learner that adapts by gradient steps."""

    rate: float = 1e-2  # of its meta-training
    inner_steps: int = 5  # on a support set, in meta-training
    inner_rate: float = 0.1
    # Numbers of steps, and rates as shares of the trained one, among which the evaluation chooses
    # on training subsets. Elsewhere it is the last number, and the trained rate.
    try_steps: tuple[int, ...] = (10, 25, 50, 100, 200)
    try_rates: tuple[float, ...] = (0.3, 1.0, 3.0)

    def check(self, name: str) -> None:
        """Raise UserError for values that cannot be, naming the key."""
        super().check(name)
        if self.inner_steps < 1 or self.inner_rate <= 0:
            raise UserError(
                f"learners.{name}: inner_steps must be 1 or more and inner_rate above 0; they are "
                f"{self.inner_steps} and {self.inner_rate}"
            )
        check_tries(name, "try_steps", self.try_steps)
        check_tries(name, "try_rates", self.try_rates)


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
class MAML(Ancestor):
    """A start, and the steps from it; theta is the start [D] and, if learned, the rates [D]."""

    config: DescentConfig
    steps: int  # of an adaptation
    scale: Any  # of its rate, in units of the trained one

    uses: ClassVar[Uses] = Uses(start=False, target_metric=False, samples=False)

    def init(self, key: jax.Array) -> dict[str, jax.Array]:
        """Return a fresh network, and equal rates."""
        start = self.network.spec.flatten(self.network.init(rng.named(key, "start")))
        rates = {"rates": jnp.full_like(start, self.config.inner_rate)}
        return {"start": start} | (rates if self.name == LEARNED else {})

    def gradient(
        self, theta: Any, batch: Episodes, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Return the gradient of the adapted networks' loss on the query sets."""
        trained = dataclasses.replace(self, steps=self.config.inner_steps, scale=np.float32(1))

        def loss(theta: Any, episodes: Episodes) -> tuple[jax.Array, dict[str, jax.Array]]:
            flat = trained._adapted(theta, episodes, second_order=self.name != FIRST)
            return query_loss.of_networks(self.network, flat, episodes.query)

        return query_loss.gradient(loss, theta, batch, self.mesh, self.parts)

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> jax.Array:
        """Adapt to every support set: [B, D]."""
        return self._adapted(theta, episodes)

    def _adapted(self, theta: Any, episodes: Episodes, *, second_order: bool = False) -> jax.Array:
        rate = theta.get("rates", self.config.inner_rate) * self.scale
        of = functools.partial(
            descent.descend,
            self.network,
            theta["start"],
            rate=rate,
            steps=self.steps,
            second_order=second_order,
        )
        return descent.for_each(of, episodes.support, len(episodes.start))

    @property
    def setting(self) -> dict[str, Any]:
        """Return the number of steps, and their rate in units of the trained one."""
        return descent.setting(self)

    def choices(self) -> tuple[MAML, ...]:
        """Return the numbers of steps and the rates to be tried."""
        return descent.choices(self)


def build(config: DescentConfig, network: Network, name: str) -> MAML:
    """Build one of LABELS."""
    return MAML(network, name, LABELS[name], None, 1, config, config.try_steps[-1], np.float32(1))
