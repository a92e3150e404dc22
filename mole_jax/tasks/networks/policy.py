"""Policies: MLPs from an observation to a distribution over actions.

A Gaussian policy puts out the mean of each action, and learns one standard deviation for each; a
categorical one puts out the logits of its choices. `gaussian_policy` with hidden layers (32, 32)
and SELU on 4 observations and 1 action is the Cartpole policy of G.pt (Peebles et al. 2022),
D = 1,250.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import OUTPUT, Network, initial, mlp
from mole_jax.tasks.networks.mlp import ACTIVATIONS
from mole_jax.tasks.parameters import ParameterSpec

GAUSSIAN, CATEGORICAL = "gaussian_policy", "categorical_policy"
LOG_STD = "log_std"
# The standard deviation is exp(log_std) squared, hence 0.6 at the start: actions in [-1, 1] are
# explored, and few are clipped.
INITIAL_LOG_STD = -0.25


class Policy(nn.Module):
    """Dense layers `hidden_0..`, `output`, and for a Gaussian `log_std`, which the mean ignores."""

    hidden: tuple[int, ...]
    n_outputs: int
    activation: str
    gaussian: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i, width in enumerate(self.hidden):
            x = ACTIVATIONS[self.activation](_dense(width, x.shape[-1], f"hidden_{i}")(x))
        if self.gaussian:
            self.param(LOG_STD, nn.initializers.constant(INITIAL_LOG_STD), (self.n_outputs,))
        return _dense(self.n_outputs, x.shape[-1], OUTPUT)(x)


def _dense(width: int, n_inputs: int, name: str) -> nn.Dense:
    """A linear layer that starts as PyTorch's do: all uniform within +- 1 / sqrt(n_inputs)."""

    start = initial.torch(n_inputs)
    return nn.Dense(width, kernel_init=start, bias_init=start, name=name)


def build(
    name: str,
    hidden: tuple[int, ...],
    input_shape: tuple[int, ...],
    n_outputs: int,
    activation: str,
) -> Network:
    """A policy `n_inputs - hidden - n_outputs`.

    Args:
        name: GAUSSIAN or CATEGORICAL.
        hidden: widths.
        input_shape: (O,), of an observation.
        n_outputs: A actions of a Gaussian policy, or the number of choices of a categorical one.
        activation: between layers.

    Raises:
        UserError: for no hidden layer, a width below 1, an unknown activation or one choice only.
    """
    mlp.check(hidden, activation)
    gaussian = name == GAUSSIAN
    if not gaussian and n_outputs < 2:
        raise UserError(f"network.name={name!r} needs two choices or more, not {n_outputs}")

    module = Policy(hidden, n_outputs, activation, gaussian)
    more = {LOG_STD: (OUTPUT,)} if gaussian else {}
    network = mlp.of_layers(name, module, hidden, input_shape, n_outputs, more)
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    # JAX sorts keys; in the reference's vectors log_std comes first.
    order = sorted(shapes, key=lambda path: (path != LOG_STD, path))
    return dataclasses.replace(network, spec=ParameterSpec.of({k: shapes[k] for k in order}))


def sample(
    network: Network, params: dict[str, Any], observation: jax.Array, key: jax.Array
) -> jax.Array:
    """Draw actions: observation [..., O] -> [..., A] float, or [...] int for a categorical policy.

    One key draws the actions of the whole batch, each independently.
    """
    output = network.apply(params, observation)
    if network.name == CATEGORICAL:
        return jax.random.categorical(key, output)
    return output + _std(params, output) * jax.random.normal(key, output.shape)


def log_probability(
    network: Network, params: dict[str, Any], observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Log density (of a Gaussian) or log probability of actions -> [...].

    Args:
        network: a policy.
        params: its parameters.
        observation: [..., O].
        action: as `sample` gives it, before any clipping.
    """
    output = network.apply(params, observation)
    if network.name == CATEGORICAL:
        chex.assert_shape(action, output.shape[:-1], custom_message="action [...] of a choice")
        logs = jax.nn.log_softmax(output)
        return jnp.take_along_axis(logs, action[..., None], axis=-1)[..., 0]
    chex.assert_shape(action, output.shape, custom_message="action [..., A]")
    std = _std(params, output)
    return jnp.sum(
        -0.5 * ((action - output) / std) ** 2 - jnp.log(std) - 0.5 * np.log(2 * np.pi), axis=-1
    )


def entropy(network: Network, params: dict[str, Any], observation: jax.Array) -> jax.Array:
    """Entropy of the distribution over actions, in nats: observation [..., O] -> [...]."""
    output = network.apply(params, observation)
    if network.name == CATEGORICAL:
        logs = jax.nn.log_softmax(output)
        return -jnp.sum(jnp.exp(logs) * logs, axis=-1)
    return jnp.sum(jnp.log(_std(params, output)) + 0.5 * np.log(2 * np.pi * np.e), axis=-1)


def act_greedily(network: Network, params: dict[str, Any], observation: jax.Array) -> jax.Array:
    """The likeliest actions: observation [..., O] -> [..., A] float, or [...] int."""
    output = network.apply(params, observation)
    return jnp.argmax(output, axis=-1) if network.name == CATEGORICAL else output


def controls(network: Network, action: jax.Array) -> jax.Array:
    """Actions as an environment takes them: what `sample` gives -> [..., A].

    The choices of a categorical policy are evenly spaced in [-1, 1], for one actuator.
    """
    if network.name == CATEGORICAL:
        return (2 * action / (network.n_outputs - 1) - 1)[..., None]
    return action


def _std(params: dict[str, Any], like: jax.Array) -> jax.Array:
    """Standard deviations [..., A].

    They are the square of exp(log_std), as in G.pt's code, which hands exp(log_std) squared to a
    distribution that wants a standard deviation. Stored policies of its zoos mean this.
    """
    return jnp.broadcast_to(jnp.exp(2 * params[LOG_STD]), like.shape)
