"""Policies practise: the gradient of the return, from rollouts in a task's own environment.

REINFORCE (Williams 1992) with a baseline for each time step. The loss uses the ratio of an action's
probability to itself with its gradient stopped, so that second derivatives are right as well
(Rothfuss et al. 2019, ProMP: low-variance curvature). MAML differentiates the logarithm, whose
second derivative lacks a term.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mole_jax.core import rng
from mole_jax.tasks.environments.world import World
from mole_jax.tasks.networks import Network, policy

DISCOUNT = 0.99  # as for PPO


class Rollouts(NamedTuple):
    """A policy's trajectories: E episodes of at most T steps, leaves [T, E, ...]."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    alive: jax.Array  # whether the episode was still running before the step


def loss(
    network: Network, flat: jax.Array, world: World, key: jax.Array, episodes: int, steps: int
) -> tuple[jax.Array, jax.Array]:
    """Return a policy's surrogate loss, and the share of the largest return that it misses.

    Args:
        network: a policy.
        flat: [D] its parameters.
        world: one problem.
        key: draws first states and actions.
        episodes: E, how many it plays.
        steps: T, after which they are cut off.

    Returns:
        A number whose gradient is that of minus the return, with advantages in units of their
        standard deviation; and 1 - mean return / T, which has no gradient. Both [].
    """
    params = network.spec.unflatten(flat)
    seen = roll_out(network, params, world, key, episodes, steps)
    advantage = advantages(seen)
    logs = policy.log_probability(network, params, seen.observation, seen.action)
    ratio = jnp.exp(logs - jax.lax.stop_gradient(logs))
    gained = jnp.sum(ratio * advantage) / jnp.sum(seen.alive)
    return -gained, 1 - jnp.sum(seen.reward) / (episodes * steps)


def roll_out(
    network: Network,
    params: dict[str, Any],
    world: World,
    key: jax.Array,
    episodes: int,
    steps: int,
) -> Rollouts:
    """Play E episodes of T steps, without gradients."""
    environment, parameters = world.environment, world.parameters
    params = jax.lax.stop_gradient(params)
    advance = jax.vmap(environment.step, (None, 0, 0))

    def step(carry: tuple[Any, jax.Array], key: jax.Array) -> tuple[Any, Rollouts]:
        state, alive = carry
        observation = jax.vmap(environment.observe)(state)
        action = policy.sample(network, params, observation, key)
        state, reward, ended = advance(parameters, state, policy.controls(network, action))
        seen = Rollouts(observation, action, jnp.where(alive, reward, 0.0), alive)
        return (state, alive & ~ended), seen

    begun = jax.vmap(environment.reset, (None, 0))(
        parameters, jax.random.split(rng.named(key, "reset"), episodes)
    )
    keys = jax.random.split(rng.named(key, "action"), steps)
    return jax.lax.scan(step, (begun, jnp.ones(episodes, bool)), keys)[1]


def advantages(seen: Rollouts) -> jax.Array:
    """Return the advantages [T, E]: each return to come, minus the mean over episodes at that time.

    The mean is over episodes that are still running. Advantages are in units of their standard
    deviation; they are 0 after an episode's end, and where all returns are equal.
    """

    def step(later: jax.Array, reward: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = reward + DISCOUNT * later
        return found, found

    zero = jnp.zeros_like(seen.reward[0])
    _, to_come = jax.lax.scan(step, zero, seen.reward, reverse=True)
    count = jnp.maximum(jnp.sum(seen.alive, axis=1, keepdims=True), 1)
    mean = jnp.sum(to_come * seen.alive, axis=1, keepdims=True) / count
    found = (to_come - mean) * seen.alive
    spread = jnp.sqrt(jnp.sum(found**2) / jnp.sum(seen.alive))
    return found / (spread + 1e-8)
