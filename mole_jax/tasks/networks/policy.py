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
from mole_jax.tasks.networks import initial, mlp
from mole_jax.tasks.networks.mlp import ACTIVATIONS
from mole_jax.tasks.networks.network import (
    OUTPUT,
    Network,
    NetworkKind,
    Outputs,
    Shorthand,
    TorchModule,
)
from mole_jax.tasks.parameters import ParameterSpec

LOG_STD = "log_std"
# The standard deviation is exp(log_std) squared, hence 0.6 at the start: actions in [-1, 1] are
# explored, and few are clipped.
INITIAL_LOG_STD = -0.25


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """A policy that draws its actions from Gaussians: an MLP of their means."""

    hidden: tuple[int, ...] = (16,)  # widths of the hidden layers
    activation: str = "relu"  # relu, gelu, tanh, silu or selu: between layers
    init: str = initial.DEFAULT  # default or torch: both as PyTorch's layers


@dataclasses.dataclass(frozen=True)
class CategoricalPolicyConfig(PolicyConfig):
    """A policy that takes one of several choices: an MLP of their logits."""

    choices: int = 3  # evenly spaced actions in [-1, 1]


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
    """Return a linear layer initialised as PyTorch's: all uniform within +- 1 / sqrt(n_inputs)."""

    start = initial.torch(n_inputs)
    return nn.Dense(width, kernel_init=start, bias_init=start, name=name)


def build(config: PolicyConfig, input_shape: tuple[int, ...], n_outputs: int) -> Network:
    """Return a policy `n_inputs - hidden - n_outputs`: a categorical one if its config has choices.

    Args:
        config: its keys.
        input_shape: (O,), of an observation.
        n_outputs: A actions of a Gaussian policy, or the number of choices of a categorical one.

    Raises:
        UserError: for no hidden layer, a width below 1, an unknown activation or one choice only.
    """
    mlp.check(config.hidden, config.activation)
    initial.check(config.init)
    kind = CATEGORICAL if isinstance(config, CategoricalPolicyConfig) else GAUSSIAN
    gaussian = kind is GAUSSIAN
    if not gaussian and n_outputs < 2:
        raise UserError(f"network.name={kind.name!r} needs two choices or more, not {n_outputs}")

    module = Policy(config.hidden, n_outputs, config.activation, gaussian)
    more = {LOG_STD: (OUTPUT,)} if gaussian else {}
    network = mlp.of_layers(kind, module, config.hidden, input_shape, n_outputs, more)
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    # JAX sorts keys; in G.pt's vectors log_std comes first.
    order = sorted(shapes, key=lambda path: (path != LOG_STD, path))
    return dataclasses.replace(network, spec=ParameterSpec.of({k: shapes[k] for k in order}))


def sample(
    network: Network, params: dict[str, Any], observation: jax.Array, key: jax.Array
) -> jax.Array:
    """Draw actions: observation [..., O] -> [..., A] float, or [...] int for a categorical policy.

    One key draws the actions of the whole batch, each independently.
    """
    output = network.apply(params, observation)
    if network.outputs is Outputs.CATEGORICAL:
        return jax.random.categorical(key, output)
    return output + _std(params, output) * jax.random.normal(key, output.shape)


def log_probability(
    network: Network, params: dict[str, Any], observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Return the log density (of a Gaussian) or log probability of actions: [...].

    Args:
        network: a policy.
        params: its parameters.
        observation: [..., O].
        action: as `sample` gives it, before any clipping.
    """
    output = network.apply(params, observation)
    if network.outputs is Outputs.CATEGORICAL:
        chex.assert_shape(action, output.shape[:-1], custom_message="action [...] of a choice")
        logs = jax.nn.log_softmax(output)
        return jnp.take_along_axis(logs, action[..., None], axis=-1)[..., 0]
    chex.assert_shape(action, output.shape, custom_message="action [..., A]")
    std = _std(params, output)
    return jnp.sum(
        -0.5 * ((action - output) / std) ** 2 - jnp.log(std) - 0.5 * np.log(2 * np.pi), axis=-1
    )


def entropy(network: Network, params: dict[str, Any], observation: jax.Array) -> jax.Array:
    """Return the entropy of the actions' distribution, in nats: observation [..., O] -> [...]."""
    output = network.apply(params, observation)
    if network.outputs is Outputs.CATEGORICAL:
        logs = jax.nn.log_softmax(output)
        return -jnp.sum(jnp.exp(logs) * logs, axis=-1)
    return jnp.sum(jnp.log(_std(params, output)) + 0.5 * np.log(2 * np.pi * np.e), axis=-1)


def act_greedily(network: Network, params: dict[str, Any], observation: jax.Array) -> jax.Array:
    """Return the likeliest actions: observation [..., O] -> [..., A] float, or [...] int."""
    output = network.apply(params, observation)
    return jnp.argmax(output, axis=-1) if network.outputs is Outputs.CATEGORICAL else output


def controls(network: Network, action: jax.Array) -> jax.Array:
    """Return actions as an environment takes them: what `sample` gives -> [..., A].

    The choices of a categorical policy are evenly spaced in [-1, 1], for one actuator.
    """
    if network.outputs is Outputs.CATEGORICAL:
        return (2 * action / (network.n_outputs - 1) - 1)[..., None]
    return action


def _std(params: dict[str, Any], like: jax.Array) -> jax.Array:
    """Return standard deviations [..., A].

    They are the square of exp(log_std), as in G.pt's code, which hands exp(log_std) squared to a
    distribution that wants a standard deviation. Stored policies of its zoos mean this.
    """
    return jnp.broadcast_to(jnp.exp(2 * params[LOG_STD]), like.shape)


def _torch_names(network: Network) -> dict[str, str]:
    # Every other module of the Sequential is an activation.
    return {name: f"actor.{2 * i}" for i, name in enumerate(mlp.layer_names(network))}


def _forward_gaussian(config: PolicyConfig, network: Network) -> str:
    return (
        f"{mlp.forward(config, network)}; mean actions, whose standard deviation is exp(2 log_std)"
    )


GAUSSIAN = NetworkKind(
    name="gaussian_policy",
    config=PolicyConfig,
    build=build,
    outputs=Outputs.NORMAL,
    torch=TorchModule(names=_torch_names, forward=_forward_gaussian),
    shorthand=Shorthand(
        "policy", "OBSERVATION,HIDDEN,...,ACTIONS", lambda hidden: PolicyConfig(hidden, "selu")
    ),
)
CATEGORICAL = NetworkKind(
    name="categorical_policy",
    config=CategoricalPolicyConfig,
    build=build,
    outputs=Outputs.CATEGORICAL,
    torch=TorchModule(names=_torch_names, forward=mlp.forward),
)
