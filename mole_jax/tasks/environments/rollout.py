"""What happens in an environment: returns of whole episodes, and transitions to learn from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax.core import rng
from mole_jax.tasks.environments import Environment

Act = Callable[[jax.Array, jax.Array], jax.Array]  # (observation [O], key) -> action [A]


def episode_returns(
    environment: Environment, parameters: jax.Array, act: Act, keys: jax.Array
) -> jax.Array:
    """Return the sum of rewards of one episode for each key.

    Every episode is simulated to the horizon, so that any number of them, of policies and of
    problems vmap; what comes after an episode's end counts for nothing.

    Args:
        environment: what is acted in.
        parameters: [P].
        act: the policy.
        keys: [n]; an episode's key draws its first state and all its actions.

    Returns:
        [n].
    """

    def one(key: jax.Array) -> jax.Array:
        def step(carry: tuple[Any, jax.Array], time: jax.Array) -> tuple[Any, jax.Array]:
            state, alive = carry
            action = act(environment.observe(state), rng.at(key, "action", time))
            state, reward, terminated = environment.step(parameters, state, action)
            return (state, alive & ~terminated), jnp.where(alive, reward, 0.0)

        start = environment.reset(parameters, rng.named(key, "reset")), jnp.array(True)
        _, rewards = jax.lax.scan(step, start, jnp.arange(environment.horizon))
        return jnp.sum(rewards)

    return jax.vmap(one)(keys)


def transitions(
    environment: Environment, parameters: jax.Array, key: jax.Array, n: int
) -> jax.Array:
    """Return n transitions under random actions, one after the other: a problem's support set.

    An episode that ends is followed by a new one.

    Args:
        environment: what is acted in.
        parameters: [P].
        key: draws first states and actions.
        n: how many.

    Returns:
        [n, O + A + O]: observation, action in [-1, 1], next observation.
    """

    def step(carry: tuple[Any, jax.Array], i: jax.Array) -> tuple[Any, jax.Array]:
        state, time = carry
        action = jax.random.uniform(
            rng.at(key, "action", i), (environment.n_actions,), minval=-1.0, maxval=1.0
        )
        after, _, terminated = environment.step(parameters, state, action)
        seen = [environment.observe(state), action, environment.observe(after)]
        ended = terminated | (time + 1 >= environment.horizon)
        fresh = environment.reset(parameters, rng.at(key, "reset", i + 1))
        state = jax.tree.map(lambda new, old: jnp.where(ended, new, old), fresh, after)
        return (state, jnp.where(ended, 0, time + 1)), jnp.concatenate(seen)

    start = environment.reset(parameters, rng.at(key, "reset", 0)), jnp.array(0)
    return jax.lax.scan(step, start, jnp.arange(n))[1]
