"""Cartpole moves as its equations say, and is as hard as Cartpole is."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.tasks import environments
from mole_jax.tasks.environments import cartpole
from mole_jax.tasks.environments.cartpole import CARTPOLE
from mole_jax.tasks.environments.rollout import episode_returns

DEFAULT = jnp.array(CARTPOLE.default)
step = jax.jit(CARTPOLE.step)
sample = jax.jit(jax.vmap(CARTPOLE.sample))


def written_out(parameters: list[float], state: list[float], action: float) -> list[float]:
    """One step from Newton's laws: a 2x2 system for both accelerations, in float64.

    (M + m) a + m l cos w = F + m l spin^2 sin,   a cos + 4/3 l w = g sin, where w is the angular
    acceleration; l is half of a uniform pole's length.
    """
    length, m, cart, g, scale = parameters
    x, v, angle, spin = state
    s, c = math.sin(angle), math.cos(angle)
    system = np.array([[cart + m, m * length * c], [c, 4 / 3 * length]])
    force = min(max(action, -1.0), 1.0) * scale
    a, w = np.linalg.solve(system, [force + m * length * spin**2 * s, g * s])
    return [x + 0.02 * v, v + 0.02 * a, angle + 0.02 * spin, spin + 0.02 * w]


@functools.partial(jax.jit, static_argnums=1)
def returns(parameters: jax.Array, act: Any, keys: jax.Array) -> jax.Array:
    return episode_returns(CARTPOLE, parameters, act, keys)


def balance(observation: jax.Array, key: jax.Array) -> jax.Array:
    """A linear controller made by hand: push where the pole leans, gently back to the middle."""
    return jnp.dot(observation, jnp.array([0.3, 0.5, 5.0, 1.0]))[None]


def at_random(observation: jax.Array, key: jax.Array) -> jax.Array:
    return jax.random.uniform(key, (1,), minval=-1.0, maxval=1.0)


def test_the_dynamics_are_newtons() -> None:
    rng = np.random.default_rng(0)
    problems = np.asarray(sample(jax.random.split(jax.random.key(0), 50)))
    for parameters in [*problems, np.array(CARTPOLE.default)]:
        state = rng.uniform(-2, 2, 4)
        action = float(rng.uniform(-2, 2))
        after, reward, _ = step(jnp.float32(parameters), jnp.float32(state), jnp.float32([action]))
        np.testing.assert_allclose(
            after, written_out(parameters.tolist(), state.tolist(), action), rtol=1e-4, atol=1e-5
        )
        assert reward == 1


def test_a_falling_pole_trades_height_for_speed() -> None:
    """Without a force the energy stays, but for the errors of Euler's method."""
    length, m, cart, g, _ = CARTPOLE.default

    def energies(state: Any) -> tuple[float, float]:
        _, v, angle, spin = map(float, state)
        kinetic = 0.5 * (cart + m) * v**2 + m * length * v * spin * math.cos(angle)
        kinetic += 2 / 3 * m * length**2 * spin**2
        return kinetic, m * g * length * math.cos(angle)

    state = jnp.array([0.0, 0.0, 0.2, 0.0])
    kinetic, potential = energies(state)
    for _ in range(35):
        state, _, _ = step(DEFAULT, state, jnp.zeros(1))
    gained, lost = energies(state)[0] - kinetic, potential - energies(state)[1]
    assert lost > 0.2 * potential
    assert gained == pytest.approx(lost, rel=0.15)


def test_an_upright_pole_at_rest_stays() -> None:
    after, _, terminated = step(DEFAULT, jnp.zeros(4), jnp.zeros(1))
    np.testing.assert_array_equal(after, np.zeros(4))
    assert not terminated


def test_a_mirrored_world_moves_mirrored() -> None:
    state, action = jnp.array([0.3, -0.4, 0.1, 0.6]), jnp.array([0.7])
    ahead, _, _ = step(DEFAULT, state, action)
    mirrored, _, _ = step(DEFAULT, -state, -action)
    np.testing.assert_allclose(mirrored, -ahead, rtol=1e-6)
    reversed_actuator = DEFAULT.at[4].multiply(-1.0)
    again, _, _ = step(reversed_actuator, state, -action)
    np.testing.assert_array_equal(again, ahead)


@pytest.mark.parametrize(
    ("state", "terminated"),
    [
        ([2.39, 0.0, 0.0, 0.0], False),
        ([2.39, 1.0, 0.0, 0.0], True),
        ([-2.39, -1.0, 0.0, 0.0], True),
        ([0.0, 0.0, 0.2, 0.0], False),
        ([0.0, 0.0, 0.2, 1.0], True),
        ([0.0, 0.0, -0.2, -1.0], True),
        ([0.0, 9.0, 0.0, 9.0], False),  # speed alone ends nothing
    ],
)
def test_an_episode_ends_where_the_track_or_the_pole_does(
    state: list[float], terminated: bool
) -> None:
    assert bool(step(DEFAULT, jnp.array(state), jnp.zeros(1))[2]) == terminated


def test_episodes_start_close_to_rest() -> None:
    keys = jax.random.split(jax.random.key(0), 1000)
    states = np.asarray(jax.vmap(CARTPOLE.reset, (None, 0))(DEFAULT, keys))
    assert np.abs(states).max() <= 0.05
    assert (states.min(0) < -0.045).all() and (states.max(0) > 0.045).all()


def test_random_states_are_everywhere_episodes_go() -> None:
    keys = jax.random.split(jax.random.key(0), 1000)
    states = np.asarray(jax.vmap(CARTPOLE.random_state, (None, 0))(DEFAULT, keys))
    assert (np.abs(states) <= np.array(cartpole.REGION)[None] + 1e-6).all()
    assert (np.abs(states).max(0) > 0.98 * np.array(cartpole.REGION)).all()
    assert not np.asarray(jax.vmap(lambda s: step(DEFAULT, s, jnp.zeros(1))[2])(states)).all()


def test_a_steady_hand_balances_and_a_random_one_does_not() -> None:
    keys = jax.random.split(jax.random.key(1), 20)
    assert (np.asarray(returns(DEFAULT, balance, keys)) == CARTPOLE.horizon).all()
    assert np.asarray(returns(DEFAULT, at_random, keys)).mean() < 60


def test_a_reversed_actuator_needs_another_policy() -> None:
    keys = jax.random.split(jax.random.key(1), 20)
    assert np.asarray(returns(DEFAULT.at[4].multiply(-1.0), balance, keys)).max() < 60


def test_problems_fill_their_ranges() -> None:
    problems = np.asarray(sample(jax.random.split(jax.random.key(2), 2000)))
    low, high = np.array(CARTPOLE.parameter_low), np.array(CARTPOLE.parameter_high)
    size = np.abs(problems)
    assert (size >= 0.999 * low[None]).all() and (size <= 1.001 * high[None]).all()
    assert (size.min(0) < 1.02 * low).all() and (size.max(0) > 0.98 * high).all()
    # Log-uniform: half lie below the geometric mean.
    np.testing.assert_allclose((size < np.sqrt(low * high)[None]).mean(0), 0.5, atol=0.05)
    signed = np.array(CARTPOLE.parameter_signed)
    assert (problems[:, ~signed] > 0).all()
    np.testing.assert_allclose((problems[:, signed] < 0).mean(0), 0.5, atol=0.05)
    assert ((low <= np.abs(CARTPOLE.default)) & (np.abs(CARTPOLE.default) <= high)).all()


def test_the_environment_is_found_by_name() -> None:
    assert environments.build("cartpole") is CARTPOLE
    assert len(CARTPOLE.parameter_names) == CARTPOLE.n_parameters == len(CARTPOLE.default) == 5
