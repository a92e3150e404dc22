"""Learned optimizers: networks that turn gradients into steps, one coordinate at a time.

`lstm`: Andrychowicz et al. 2016, Learning to learn by gradient descent by gradient descent: the
same LSTM for every coordinate, each with its own state. `mlp`: Metz et al. 2019, Understanding and
correcting pathologies in the training of learned optimizers: an MLP that sees momenta and time.

    optimizer = learned_optimizer.transformation(weights, kind="lstm", scale=0.1)
    state = optimizer.init(params)  # as of any optimizer of Optax
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

LSTM, MLP = "lstm", "mlp"
KINDS = (LSTM, MLP)
# The LSTM: 2 layers of 20 units; gradients below exp(-10) count as small (appendix A).
WIDTH, LAYERS, SMALL = 20, 2, 10.0
# The MLP: two hidden layers, decays of its momenta and time scales.
HIDDEN = (32, 32)
DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
TIMES = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
STEP = 1e-3  # scale of the MLP's direction, and of its magnitude


class CoordinateLSTM(nn.Module):
    """The LSTM for each coordinate: (state, features [D, 2]) -> (state, [D])."""

    @nn.compact
    def __call__(self, state: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        after = []
        for i, own in enumerate(state):
            own, x = nn.OptimizedLSTMCell(WIDTH, name=f"lstm_{i}")(own, x)
            after.append(own)
        return tuple(after), nn.Dense(1, name="output")(x)[:, 0]


class CoordinateMLP(nn.Module):
    """The MLP for each coordinate: features [D, F] -> direction and magnitude [D, 2]."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i, width in enumerate(HIDDEN):
            x = nn.relu(nn.Dense(width, name=f"hidden_{i}")(x))
        return nn.Dense(2, name="output")(x)


def init(kind: str, key: jax.Array) -> Any:
    """Return initial weights of a learned optimizer."""
    if kind == LSTM:
        return CoordinateLSTM().init(key, _rest(1), jnp.zeros((1, 2)))["params"]
    return CoordinateMLP().init(key, jnp.zeros((1, 2 + len(DECAYS) + len(TIMES))))["params"]


def transformation(weights: Any, kind: str, scale: float) -> optax.GradientTransformation:
    """Return the optimizer with these weights, for parameters of any structure.

    Args:
        weights: from `init`, or trained.
        kind: one of KINDS.
        scale: of the steps.
    """
    return _lstm(weights, scale) if kind == LSTM else _mlp(weights, scale)


def log_and_sign(gradient: jax.Array) -> jax.Array:
    """Return a gradient's logarithm and sign or, if small, a scaled gradient: [D] -> [D, 2].

    This distinguishes gradients of all sizes (Andrychowicz et al. 2016, appendix A).
    """
    small = jnp.abs(gradient) < jnp.exp(-SMALL)
    size = jnp.log(jnp.where(small, 1.0, jnp.abs(gradient))) / SMALL
    first = jnp.where(small, -1.0, size)
    second = jnp.where(small, jnp.exp(SMALL) * gradient, jnp.sign(gradient))
    return jnp.stack([first, second], axis=-1)


def _rest(n: int) -> tuple[Any, ...]:
    """Return the LSTM's state before the first step, for n coordinates."""
    zero = jnp.zeros((n, WIDTH))
    return tuple((zero, zero) for _ in range(LAYERS))


def _lstm(weights: Any, scale: float) -> optax.GradientTransformation:
    module = CoordinateLSTM()

    def start(params: Any) -> Any:
        return _rest(sum(x.size for x in jax.tree.leaves(params)))

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        flat, unravel = ravel_pytree(gradients)
        step: Any
        state, step = module.apply({"params": weights}, state, log_and_sign(flat))
        return unravel(scale * step), state

    return optax.GradientTransformation(start, update)


def _mlp(weights: Any, scale: float) -> optax.GradientTransformation:
    module = CoordinateMLP()

    def start(params: Any) -> Any:
        momenta = jax.tree.map(lambda x: jnp.zeros((*x.shape, len(DECAYS))), params)
        return momenta, jnp.zeros((), jnp.int32)

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("the MLP needs the parameters: call update(gradients, state, params)")
        momenta, n = state

        def averaged(m: jax.Array, g: jax.Array) -> jax.Array:
            decay = jnp.broadcast_to(jnp.array(DECAYS), m.shape)
            return decay * m + (1 - decay) * g[..., None]

        momenta = jax.tree.map(averaged, momenta, gradients)
        time = jnp.tanh(n / jnp.array(TIMES, jnp.float32) - 1)

        def step(g: jax.Array, m: jax.Array, p: jax.Array) -> jax.Array:
            own = jnp.concatenate([g[..., None], p[..., None], m], axis=-1)
            own = own.reshape(-1, own.shape[-1])
            # Each feature is normalised by its root mean square over the tensor.
            own = own * jax.lax.rsqrt(jnp.mean(own**2, axis=0, keepdims=True) + 1e-5)
            given = jnp.concatenate([own, jnp.broadcast_to(time, (len(own), len(TIMES)))], axis=-1)
            answer: Any = module.apply({"params": weights}, given)
            direction, magnitude = answer.T
            moved = direction * jnp.exp(STEP * magnitude) * STEP * scale
            return -moved.reshape(g.shape)

        return jax.tree.map(step, gradients, momenta, params), (momenta, n + 1)

    return optax.GradientTransformation(start, update)
