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
    """One step in float64, of the forces in a world whose axes are level and plumb.

    The pole's centre of mass is at the cart plus l (sin, cos) of its angle from the plumb line.
    Unknown are the cart's acceleration a along the track, the pole's angular acceleration w, and
    the force (px, py) of cart on pole; l is half of a uniform pole, whose inertia is m l^2 / 3.
    """
    length, m, cart, g, scale, slope = parameters
    x, v, angle, spin = state
    force = min(max(action, -1.0), 1.0) * scale
    plumb = angle - slope  # the track rises, so its upright leans back
    s, c = math.sin(plumb), math.cos(plumb)
    along_x, along_y = math.cos(slope), math.sin(slope)
    # Rows: pole's x, pole's y, pole's torque, cart along the track. Columns: a, w, px, py.
    system = np.array(
        [
            [m * along_x, m * length * c, -1, 0],
            [m * along_y, -m * length * s, 0, -1],
            [0, m * length**2 / 3, length * c, -length * s],
            [cart, 0, along_x, along_y],
        ]
    )
    known = [m * length * spin**2 * s, m * length * spin**2 * c - m * g, 0, 0]
    known[3] = force - cart * g * along_y
    a, w, _, _ = np.linalg.solve(system, known)
    return [x + 0.02 * v, v + 0.02 * a, angle + 0.02 * spin, spin + 0.02 * w]


@functools.partial(jax.jit, static_argnums=1)
def returns(parameters: jax.Array, act: Any, keys: jax.Array) -> jax.Array:
    return episode_returns(CARTPOLE, parameters, act, keys)


def balance(observation: jax.Array, key: jax.Array) -> jax.Array:
    """A linear controller made by hand: push where the pole leans, gently back to the middle."""
    state = observation * jnp.array(cartpole.REGION)
    return jnp.dot(state, jnp.array([0.3, 0.5, 5.0, 1.0]))[None]


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
    length, m, cart, g, _, _ = CARTPOLE.default

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


def test_on_a_slope_rest_needs_a_leaning_pole_and_a_force() -> None:
    """The pole along the plumb line, and the force that holds both masses there."""
    slope = 0.1
    _, pole, cart, g, scale, _ = CARTPOLE.default
    problem = DEFAULT.at[5].set(slope)
    rest = jnp.array([0.0, 0.0, slope, 0.0])
    hold = jnp.array([(cart + pole) * g * math.sin(slope) / scale])
    after, _, _ = step(problem, rest, hold)
    np.testing.assert_allclose(after, rest, atol=1e-6)
    assert np.abs(np.asarray(step(problem, rest, jnp.zeros(1))[0]) - rest).max() > 0.01


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
    signed = np.array(CARTPOLE.parameter_signed)
    size = np.where(signed[None], np.abs(problems), problems)
    fraction = (size - low[None]) / (high - low)[None]
    assert (fraction > -1e-6).all() and (fraction < 1 + 1e-6).all()
    assert (fraction.min(0) < 0.01).all() and (fraction.max(0) > 0.99).all()
    np.testing.assert_allclose(fraction.mean(0), 0.5, atol=0.03)
    np.testing.assert_allclose((problems[:, signed] < 0).mean(0), 0.5, atol=0.05)
    correlations = np.corrcoef(np.concatenate([fraction, problems[:, signed] < 0], axis=1).T)
    assert np.abs(correlations[np.triu_indices(7, 1)]).max() < 0.1
    assert ((low <= CARTPOLE.default) & (CARTPOLE.default <= high)).all()


def test_the_environment_is_found_by_name() -> None:
    assert environments.build("cartpole") is CARTPOLE
    assert len(CARTPOLE.parameter_names) == CARTPOLE.n_parameters == len(CARTPOLE.default) == 6
