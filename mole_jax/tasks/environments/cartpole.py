"""Cartpole with a continuous action: a cart is pushed so that the pole upon it stays upright.

The dynamics are those of Barto, Sutton & Anderson 1983 ("Neuronlike adaptive elements that can
solve difficult learning control problems"), without friction. State and observation are
[position, velocity, angle, angular velocity], in metres, radians and seconds; the angle is 0 where
the pole is upright.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.tasks.environments import Environment

TIME_STEP = 0.02  # seconds, of Euler's method
POSITION_LIMIT = 2.4
ANGLE_LIMIT = float(np.radians(12))
START = 0.05  # episodes start with every number of the state within +- this
# What policies meet, from the first random one to one that balances.
REGION = (POSITION_LIMIT, 2.0, ANGLE_LIMIT, 2.0)


def reset(parameters: jax.Array, key: jax.Array) -> jax.Array:
    """A state [4] close to rest, whatever the parameters are."""
    return jax.random.uniform(key, (4,), minval=-START, maxval=START)


def step(
    parameters: jax.Array, state: jax.Array, action: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One step of Euler's method.

    Args:
        parameters: [5], as CARTPOLE names them; `pole_length` is half of the pole, from its joint
            to its centre of mass, as is the custom; the force on the cart is
            clip(action, -1, 1) * force_scale.
        state: [4].
        action: [1].

    Returns:
        The next state; the reward, 1 for each step, the last one included; whether the pole fell
        or the cart left the track.
    """
    pole_length, pole_mass, cart_mass, gravity, force_scale = parameters
    position, velocity, angle, spin = state
    force = jnp.clip(action[0], -1.0, 1.0) * force_scale
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    mass = cart_mass + pole_mass
    push = (force + pole_mass * pole_length * spin**2 * sin) / mass
    turn = (gravity * sin - cos * push) / (pole_length * (4 / 3 - pole_mass * cos**2 / mass))
    acceleration = push - pole_mass * pole_length * turn * cos / mass
    change = jnp.stack([velocity, acceleration, spin, turn])
    state = state + TIME_STEP * change
    terminated = (jnp.abs(state[0]) > POSITION_LIMIT) | (jnp.abs(state[2]) > ANGLE_LIMIT)
    return state, jnp.ones_like(position), terminated


def observe(state: jax.Array) -> jax.Array:
    """Everything: the state [4] itself."""
    return state


def random_state(parameters: jax.Array, key: jax.Array) -> jax.Array:
    """A state [4] anywhere on the track with the pole up, at the speeds that occur there."""
    bound = jnp.array(REGION)
    return jax.random.uniform(key, (4,), minval=-bound, maxval=bound)


# The family: the reversed actuator, above all, is what no policy can know before it has seen the
# problem.
CARTPOLE = Environment(
    name="cartpole",
    n_observations=4,
    n_actions=1,
    horizon=500,
    parameter_names=("pole_length", "pole_mass", "cart_mass", "gravity", "force_scale"),
    default=(0.5, 0.1, 1.0, 9.8, 10.0),
    parameter_low=(0.25, 0.05, 0.5, 5.0, 5.0),
    parameter_high=(1.0, 0.5, 2.0, 20.0, 20.0),
    parameter_signed=(False, False, False, False, True),
    reset=reset,
    step=step,
    observe=observe,
    random_state=random_state,
)
