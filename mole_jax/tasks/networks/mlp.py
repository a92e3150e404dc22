"""Multi-layer perceptrons of any depth and width."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import initial
from mole_jax.tasks.networks.network import (
    OUTPUT,
    Network,
    NetworkKind,
    Outputs,
    Shorthand,
    TorchModule,
    of_module,
)
from mole_jax.tasks.networks.symmetries import Permutation

ACTIVATIONS = {
    "relu": nn.relu,
    "gelu": nn.gelu,
    "tanh": nn.tanh,
    "silu": nn.silu,
    "selu": nn.selu,
}


@dataclasses.dataclass(frozen=True)
class MLPConfig:
    """An MLP for images or tables, with an activation between its layers."""

    hidden: tuple[int, ...] = (16,)  # widths of the hidden layers
    activation: str = "relu"  # relu, gelu, tanh, silu or selu: between layers
    init: str = initial.DEFAULT  # initialisation of layers; torch: as PyTorch's


class MLP(nn.Module):
    """Dense layers `hidden_0..`, `output`, with an activation between them."""

    hidden: tuple[int, ...]
    n_outputs: int
    activation: str = "relu"
    begins: str = initial.DEFAULT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # [..., n_inputs]
        columns = x.reshape(-1, x.shape[-1]).T
        for i, width in enumerate(self.hidden):
            layer = _Dense(width, self.begins, name=f"hidden_{i}")
            columns = ACTIVATIONS[self.activation](layer(columns))
        columns = _Dense(self.n_outputs, self.begins, name="output")(columns)
        return columns.T.reshape(*x.shape[:-1], self.n_outputs)


class _Dense(nn.Module):
    """A linear layer for examples in columns: [F, B] -> [features, B].

    With kernels stored transposed (see `Network.transposed_kernels`) a population's product with a
    shared minibatch, its gradient, and what comes after have their long axes last: on a CPU that
    makes a training step 1.5 times as fast.
    """

    features: int
    begins: str = initial.DEFAULT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # He-uniform kernels and zero biases: the usual initialisation for ReLU networks.
        of_kernel, of_bias = nn.initializers.he_uniform(), nn.initializers.zeros
        if self.begins == initial.TORCH:
            of_kernel = of_bias = initial.torch(x.shape[0])
        kernel = self.param("kernel", of_kernel, (x.shape[0], self.features))
        bias = self.param("bias", of_bias, (self.features,))
        return kernel.T @ x + bias[:, None]


def build(config: MLPConfig, input_shape: tuple[int, ...], n_outputs: int) -> Network:
    """Return an MLP `n_inputs - hidden - n_outputs`.

    Raises:
        UserError: for no hidden layer, a width below 1, an unknown activation or initialisation.
    """
    check(config.hidden, config.activation)
    initial.check(config.init)
    module = MLP(config.hidden, n_outputs, config.activation, config.init)
    network = of_layers(NETWORK, module, config.hidden, input_shape, n_outputs)
    return dataclasses.replace(network, transposed_kernels=True)


def check(hidden: tuple[int, ...], activation: str) -> None:
    """Raise UserError for no hidden layer, a width below 1 or an unknown activation."""
    if not hidden or min(hidden) < 1:
        raise UserError(f"network.hidden={hidden} must name at least one width of 1 or more")
    if activation not in ACTIVATIONS:
        raise UserError(
            f"network.activation={activation!r} is unknown; there are {sorted(ACTIVATIONS)}"
        )


def of_layers(
    kind: NetworkKind,
    module: nn.Module,
    hidden: tuple[int, ...],
    input_shape: tuple[int, ...],
    n_outputs: int,
    more: Mapping[str, tuple[str, ...]] | None = None,
) -> Network:
    """Build a network from a module whose dense layers are `hidden_0..`, `output`, in sequence.

    `more` names the axes of tensors besides theirs; the other arguments are as in `build`.
    """
    layers = [f"hidden_{i}" for i in range(len(hidden))]  # each names its axis of units, too
    axes = dict(more or {})
    for layer, before in zip([*layers, OUTPUT], ["input", *layers], strict=True):
        axes |= {f"{layer}/kernel": (before, layer), f"{layer}/bias": (layer,)}
    return of_module(
        kind,
        module,
        input_shape,
        n_outputs,
        images=False,
        axes=axes,
        units=tuple((layer,) for layer in layers),
        symmetries=tuple(Permutation(layer) for layer in layers),
    )


def layer_names(network: Network) -> list[str]:
    """Return `hidden_0..`, `output`: the layers of a network of `of_layers`, in their order."""
    return [*(layer for (layer,) in network.units), OUTPUT]


def forward(config: Any, network: Network) -> str:
    """Return how the PyTorch module computes, in one line."""
    activation = config.activation
    if activation == "gelu":
        activation = "gelu (tanh approximation)"
    what = f"x [B, {network.n_inputs}]; linear layers with {activation} between them"
    if len(network.input_shape) == 3 and network.input_shape[-1] > 1:
        what += f"; x is an image [H, W, channels] = {list(network.input_shape)}, flattened"
    return what


NETWORK = NetworkKind(
    name="mlp",
    config=MLPConfig,
    build=build,
    outputs=Outputs.CLASSES,
    torch=TorchModule(
        names=lambda network: {n: f"fc{i + 1}" for i, n in enumerate(layer_names(network))},
        forward=forward,
    ),
    shorthand=Shorthand("mlp", "IN,HIDDEN,...,OUT", lambda hidden: MLPConfig(hidden, "relu")),
)
