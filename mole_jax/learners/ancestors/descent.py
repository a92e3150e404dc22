"""Gradient steps on a task, by which several ancestors adapt.

A classifier descends on its support set. A policy descends on its own rollouts in the task's
environment, new ones in each step: see practice.py.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.learners import query_loss
from mole_jax.learners.ancestors import practice
from mole_jax.learners.ancestors.ancestor import Ancestor, AncestorConfig, check_tries
from mole_jax.metamodel.networks import warps
from mole_jax.tasks.environments.world import World
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, fewer_outputs
from mole_jax.training.learner import Episodes, Uses


@dataclasses.dataclass(frozen=True)
class DescentConfig(AncestorConfig):
    """The section of a learner that adapts by gradient steps."""

    rate: float = 1e-2  # learning rate of meta-training
    inner_steps: int = 5  # gradient steps on a task, in meta-training
    inner_rate: float = 0.1  # learning rate of inner steps; Meta-SGD's initial rates
    # How far steps but the last third warp the images, as metamodel.support_warps; 0: not at all.
    # Reptile's steps do so in adapting alone.
    warps: float = 0.0
    rollouts: int = 20  # episodes that a policy plays for each gradient step
    rollout_steps: int = 200  # steps after which a rollout is cut off
    # Numbers of steps, and rates as multiples of the trained one, among which the evaluation
    # chooses on training subsets. Elsewhere the last number and the trained rate are used.
    try_steps: tuple[int, ...] = (10, 25, 50, 100, 200)
    try_rates: tuple[float, ...] = (0.3, 1.0, 3.0)  # as above

    knobs: ClassVar[tuple[str, ...]] = ("rate", "inner_rate")

    def check(self, name: str) -> None:
        """Raise UserError for invalid values, naming the key."""
        super().check(name)
        if self.inner_steps < 1 or self.inner_rate <= 0:
            raise UserError(
                f"learners.{name}: inner_steps must be 1 or more and inner_rate above 0; they are "
                f"{self.inner_steps} and {self.inner_rate}"
            )
        if not 0 <= self.warps < math.inf:
            raise UserError(
                f"learners.{name}.warps={self.warps} must be 0 or more; 1 is as much as MOLE's "
                "recipe for characters has"
            )
        if self.rollouts < 2 or self.rollout_steps < 1:
            raise UserError(
                f"learners.{name}: rollouts must be 2 or more and rollout_steps 1 or more; they "
                f"are {self.rollouts} and {self.rollout_steps}"
            )
        check_tries(name, "try_steps", self.try_steps)
        check_tries(name, "try_rates", self.try_rates)


# What a task is learned from: a support set, or an environment to practise in.
Material = Examples | World


def uses(network: Network) -> Uses:
    """Return what gradient steps on tasks of such networks use."""
    acts = network.acts
    return Uses(support=not acts, start=False, target_metric=False, samples=acts, pool=acts)


def material(episodes: Episodes) -> Material:
    """Return what each of B tasks is learned from: leaves [B, ...], or one for all, [1, ...]."""
    return episodes.support if episodes.world is None else episodes.world


def loss(
    config: DescentConfig, network: Network, flat: jax.Array, given: Material, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return what one network [D] minimises, and how bad it is: both [].

    The second is the loss; for a policy, the share of the return that it misses.
    """
    if isinstance(given, World):
        steps = min(config.rollout_steps, given.environment.horizon)
        return practice.loss(network, flat, given, key, config.rollouts, steps)
    found = query_loss.of_one(network, flat, given)[0]
    return found, found


def descend(
    config: DescentConfig,
    network: Network,
    start: jax.Array,
    given: Material,
    key: jax.Array,
    *,
    rate: jax.Array | float,
    steps: int,
    second_order: bool = False,
) -> jax.Array:
    """Take steps along the gradient of a task's loss: start [D] -> [D].

    Args:
        config: how policies practise.
        network: the architecture.
        start: [D].
        given: what one task is learned from.
        key: draws rollouts.
        rate: of the steps; one number, or [D].
        steps: how many.
        second_order: whether to differentiate through the gradients, too.
    """
    looks: tuple[np.ndarray, ...] = ()  # the warp that each step sees examples through
    if isinstance(given, Examples):
        start = fewer_outputs.emptied(network, start, given.n_classes)
        if config.warps:
            looks = warps.of_steps(network.input_shape, config.warps, steps)

    def step(flat: jax.Array, at: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        i, *look = at
        seen, own = given, rng.at(key, "step", i)
        if look and isinstance(seen, Examples):
            inputs = warps.moved(seen.inputs, network.input_shape, *look)
            seen = seen._replace(inputs=inputs)
        slope = jax.grad(lambda x: loss(config, network, x, seen, own)[0])(flat)
        slope = slope if second_order else jax.lax.stop_gradient(slope)
        return flat - rate * slope, None

    return jax.lax.scan(step, start, (jnp.arange(steps), *map(jnp.asarray, looks)))[0]


def adapted(
    config: DescentConfig,
    network: Network,
    start: jax.Array,
    episodes: Episodes,
    keys: jax.Array,
    *,
    rate: jax.Array | float,
    steps: int,
    second_order: bool = False,
) -> jax.Array:
    """Descend from one start on each of B tasks, with keys [B]: [D] -> [B, D]; see `descend`."""
    given = material(episodes)
    of_one = functools.partial(
        descend, config, network, start, rate=rate, steps=steps, second_order=second_order
    )
    # If one support set is for all, descend on it once.
    found = jax.vmap(of_one)(given, keys[: len(jax.tree.leaves(given)[0])])
    return jnp.broadcast_to(found, (len(episodes.start), *found.shape[1:]))


def judged(
    config: DescentConfig, network: Network, flat: jax.Array, episodes: Episodes, keys: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the mean loss of networks [B, D] on unseen examples or rollouts, and metrics.

    Args:
        config: how policies are rolled out.
        network: the architecture.
        flat: [B, D].
        episodes: with query sets, or worlds.
        keys: [B] those of the adaptation; new keys are derived from them.
    """
    if episodes.world is None:
        return query_loss.of_networks(network, flat, episodes.query)
    of_one = functools.partial(loss, config, network)
    judge = jax.vmap(lambda key: rng.named(key, "judge"))(keys)
    found, missed = jax.vmap(of_one)(flat, episodes.world, judge)
    return jnp.mean(found), {"loss": jnp.mean(missed)}


@dataclasses.dataclass(frozen=True, eq=False)
class Descending(Ancestor):
    """A learner that adapts by gradient steps from a start, which is what it learns."""

    config: Any  # its section; that of a learner without steps is no DescentConfig
    steps: int  # of an adaptation
    scale: Any  # its rate as a multiple of the trained one

    @property
    def uses(self) -> Uses:
        return uses(self.network)

    def init(self, key: jax.Array) -> dict[str, jax.Array]:
        """Return a fresh network."""
        return {"start": self.network.spec.flatten(self.network.init(rng.named(key, "start")))}

    @property
    def trained(self) -> Self:
        """Return the learner in the setting of its meta-training."""
        if not isinstance(self.config, DescentConfig):
            return self
        return dataclasses.replace(self, steps=self.config.inner_steps, scale=np.float32(1))

    @property
    def setting(self) -> dict[str, Any]:
        """Return the number of steps, and their rate as a multiple of the trained one."""
        if not isinstance(self.config, DescentConfig):
            return {}
        return {"steps": self.steps, "rate": float(self.scale)}

    def choices(self) -> tuple[Self, ...]:
        """Return the numbers of steps and the rates to be tried."""
        if not isinstance(self.config, DescentConfig):
            return ()
        tries = itertools.product(self.config.try_steps, self.config.try_rates)
        return tuple(dataclasses.replace(self, steps=n, scale=np.float32(x)) for n, x in tries)
