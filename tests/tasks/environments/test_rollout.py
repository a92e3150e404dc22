"""Returns count steps until an episode ends, and transitions are what really happens."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core import rng
from mole_jax.tasks.environments.cartpole import CARTPOLE, REGION
from mole_jax.tasks.environments.rollout import episode_returns, transitions

KEYS = jax.random.split(jax.random.key(3), 6)
DEFAULT = jnp.array(CARTPOLE.default)
PROBLEMS = jax.vmap(CARTPOLE.sample)(KEYS[:3])


def act(observation: jax.Array, key: jax.Array) -> jax.Array:
    return observation[2:3] + 0.3 * jax.random.normal(key, (1,))


@jax.jit
def returns(parameters: jax.Array, keys: jax.Array) -> jax.Array:
    return episode_returns(CARTPOLE, parameters, act, keys)


@functools.partial(jax.jit, static_argnums=2)
def met(parameters: jax.Array, key: jax.Array, n: int) -> jax.Array:
    return transitions(CARTPOLE, parameters, key, n)


def test_returns_are_the_same_alone_and_side_by_side() -> None:
    together = np.asarray(jax.vmap(returns, (0, None))(PROBLEMS, KEYS))
    assert len(np.unique(together)) > 4  # episodes differ
    for problem, row in zip(PROBLEMS, together, strict=True):
        alone = [float(returns(problem, key[None])[0]) for key in KEYS]
        np.testing.assert_array_equal(alone, row)
        np.testing.assert_array_equal(returns(problem, KEYS), row)  # and again


def test_a_return_is_the_number_of_steps_until_the_pole_falls() -> None:
    """A plain loop counts them: a constant push fells the pole."""

    def push(observation: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.full(1, 0.1)

    counted = []
    step = jax.jit(CARTPOLE.step)
    for key in KEYS:
        state = CARTPOLE.reset(DEFAULT, rng.named(key, "reset"))
        terminated, steps = False, 0
        while not terminated:
            state, _, terminated = step(DEFAULT, state, jnp.full(1, 0.1))
            steps += 1
        counted.append(steps)
    assert 5 < min(counted) < max(counted) < 200
    np.testing.assert_array_equal(episode_returns(CARTPOLE, DEFAULT, push, KEYS), counted)


@pytest.mark.parametrize("n", [1, 700])
def test_transitions_obey_the_dynamics(n: int) -> None:
    rows = np.asarray(met(PROBLEMS[0], jax.random.key(4), n))
    assert rows.shape == (n, 9)
    before, action, after = rows[:, :4], rows[:, 4:5], rows[:, 5:]
    assert np.abs(action).max() <= 1
    states = before * np.array(REGION, np.float32)[None]
    expected, _, ended = jax.vmap(CARTPOLE.step, (None, 0, 0))(PROBLEMS[0], states, action)
    np.testing.assert_allclose(after, jax.vmap(CARTPOLE.observe)(expected), rtol=1e-5, atol=1e-6)
    # One follows the other, but for those that ended an episode.
    follows = (before[1:] == after[:-1]).all(-1)
    np.testing.assert_array_equal(follows, ~np.asarray(ended)[:-1])
    assert np.abs(states[1:][~follows]).max(initial=0) < 0.05001
    if n > 1:
        assert 5 < (~follows).sum() < n / 5
        assert action.min() < -0.95 and action.max() > 0.95


def test_transitions_are_their_keys_own() -> None:
    first = met(PROBLEMS[0], jax.random.key(4), 20)
    np.testing.assert_array_equal(first, met(PROBLEMS[0], jax.random.key(4), 20))
    assert not np.array_equal(first, met(PROBLEMS[0], jax.random.key(5), 20))
    together = jax.vmap(met, (0, None, None))(PROBLEMS, jax.random.key(4), 20)
    np.testing.assert_allclose(together[0], first, rtol=1e-5, atol=1e-6)
    # Same actions, other dynamics: that is what tells problems apart.
    np.testing.assert_array_equal(together[0, 0, :5], together[1, 0, :5])
    assert not np.allclose(together[0, 0, 5:], together[1, 0, 5:], rtol=1e-4)


def test_the_horizon_ends_episodes() -> None:
    """Close to rest, without gravity and pushed by almost nothing, nothing else ends them."""

    def near_rest(parameters: jax.Array, key: jax.Array) -> jax.Array:
        return 0.01 * CARTPOLE.reset(parameters, key)

    calm = jnp.array([10.0, 0.001, 100.0, 1e-4, 1e-3, 0.0])
    environment = dataclasses.replace(CARTPOLE, reset=near_rest, horizon=37)
    rows = np.asarray(transitions(environment, calm, jax.random.key(6), 100))
    begins = 1 + np.flatnonzero((rows[1:, :4] != rows[:-1, 5:]).any(-1))
    assert begins.tolist() == [37, 74]
    np.testing.assert_array_equal(episode_returns(environment, calm, act, KEYS), [37] * 6)
