"""Convolutional networks: 3x3 convolutions with strides, average pooling, a linear layer."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

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

SIZE = 3
EPSILON = 1e-6
# Bytes of shifted images that about fill a core's cache: those of 8 CIFAR-10 images.
CACHE = 1_200_000
# Size from which a matrix of cells is too large, and how many rows are worth adding instead.
_LARGE, _ROWS = 4096, 8


@dataclasses.dataclass(frozen=True)
class CNNConfig:
    """A CNN for images, with a convolution for each of `channels` and `strides`.

    `(16, 32)`, `(2, 1)`, no bias and no normalisation on [32, 32, 3] and 10 classes is the CIFAR-10
    network of G.pt (Peebles et al. 2022), D = 5,370.
    """

    channels: tuple[int, ...] = (8, 16)  # outputs of each 3x3 convolution
    strides: tuple[int, ...] = (1, 2)  # stride of each convolution, in pixels
    bias: bool = True  # whether convolutions have a bias
    norm_groups: int = 0  # groups of the GroupNorm after each convolution; 0: none
    # The last convolution is averaged over N by N cells of the image. 1: over all of it; from 2 on
    # the linear layer knows where in the image something is.
    cells: int = 1
    init: str = initial.DEFAULT  # initialisation of layers; torch: as PyTorch's


class Convolution(nn.Module):
    """A 3x3 convolution with a border of one zero: [C, B, H, W] -> [channels, B, H', W'].

    Written as one product with the nine shifted images, stacked. Under vmap over networks a
    convolution would become a grouped one, which XLA's CPU backend runs many times slower than the
    batched product that this becomes. With channels first the product, its gradients and what comes
    after have their long axis last: on a CPU that is about twice as fast as channels last.
    """

    channels: int
    stride: int
    bias: bool
    begins: str = initial.DEFAULT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n_in, batch, height, width = x.shape
        of_kernel, of_bias = nn.initializers.he_uniform(), nn.initializers.zeros
        if self.begins == initial.TORCH:
            of_kernel = of_bias = initial.torch(SIZE * SIZE * n_in)
        kernel = self.param("kernel", of_kernel, (SIZE, SIZE, n_in, self.channels))
        x = jnp.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
        shifted = [
            x[:, :, i : i + height : self.stride, j : j + width : self.stride]
            for i, j in itertools.product(range(SIZE), repeat=2)
        ]
        sides = shifted[0].shape[2:]
        patches = jnp.concatenate(shifted).reshape(SIZE * SIZE * n_in, -1)
        y = kernel.reshape(-1, self.channels).T @ patches
        if self.bias:
            y = y + self.param("bias", of_bias, (self.channels,))[:, None]
        return y.reshape(-1, batch, *sides)


class GroupNorm(nn.Module):
    """Group normalisation (Wu & He 2018) of [C, B, H, W], parameters and epsilon as Flax's."""

    groups: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n, batch, height, width = x.shape
        of_group = x.reshape(self.groups, n // self.groups, batch, height, width)
        mean = jnp.mean(of_group, axis=(1, 3, 4), keepdims=True)
        variance = jnp.var(of_group, axis=(1, 3, 4), keepdims=True)
        x = ((of_group - mean) * jax.lax.rsqrt(variance + EPSILON)).reshape(x.shape)
        scale = self.param("scale", nn.initializers.ones, (n,))
        bias = self.param("bias", nn.initializers.zeros, (n,))
        return x * scale[:, None, None, None] + bias[:, None, None, None]


def of_cells(x: jax.Array, n: int) -> jax.Array:
    """Average over n by n cells: [C, B, H, W] -> [B, n, n, C].

    Where n does not divide a side, neighbouring cells overlap: as in PyTorch's AdaptiveAvgPool2d.
    On a CPU one product is the fastest while it is small: a gradient of a gradient takes 1.6 times
    as long with a product for each side. For larger images rows are added first, and one product
    does the columns: that takes 0.5 to 0.7 of the time of one product, 0.6 to 0.8 in a gradient of
    a gradient.
    """
    channels, batch, height, width = x.shape
    shares = np.kron(cells_of(height, n), cells_of(width, n))
    if shares.size >= _LARGE and height % n == 0 and height // n <= _ROWS:
        shares, rows = cells_of(width, n), x.reshape(channels, batch, n, -1, width)
        x = functools.reduce(jnp.add, [rows[:, :, :, i] for i in range(height // n)]) / (height / n)
    found = x.reshape(-1, shares.shape[1]) @ jnp.asarray(shares.T, x.dtype)
    return jnp.moveaxis(found.reshape(channels, batch, n, n), 0, -1)


def cells_of(side: int, n: int) -> np.ndarray:
    """Return the weight of each place of a side in each cell: [n, side]."""
    shares = np.zeros((n, side))
    for i in range(n):
        begin, end = i * side // n, -(-(i + 1) * side // n)
        shares[i, begin:end] = 1 / (end - begin)
    return shares


class CNN(nn.Module):
    """`conv_0`, `norm_0`, ReLU, ..., mean over the image or its cells, `output`."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    n_outputs: int
    bias: bool
    norm_groups: int
    cells: int = 1
    begins: str = initial.DEFAULT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # [B, H, W, C]
        x = jnp.moveaxis(x, -1, 0)
        for i, (channels, stride) in enumerate(zip(self.channels, self.strides, strict=True)):
            x = Convolution(channels, stride, self.bias, self.begins, name=f"conv_{i}")(x)
            if self.norm_groups:
                x = GroupNorm(self.norm_groups, name=f"norm_{i}")(x)
            x = nn.relu(x)
        start: dict[str, Any] = {}
        if self.begins == initial.TORCH:
            n_in = x.shape[0] * self.cells**2
            start = dict.fromkeys(("kernel_init", "bias_init"), initial.torch(n_in))
        if self.cells > 1:
            x = of_cells(x, self.cells)
            return nn.DenseGeneral(self.n_outputs, (-3, -2, -1), name="output", **start)(x)
        return nn.Dense(self.n_outputs, name="output", **start)(jnp.mean(x, axis=(2, 3)).T)


def build(config: CNNConfig, input_shape: tuple[int, ...], n_outputs: int) -> Network:
    """Return a CNN for images [H, W, channels] of `n_outputs` classes.

    Raises:
        UserError: for sizes that do not fit together, or an unknown initialisation.
    """
    channels, strides = config.channels, config.strides
    bias, norm_groups = config.bias, config.norm_groups
    if not channels or min(channels) < 1 or len(strides) != len(channels) or min(strides) < 1:
        raise UserError(
            f"network.channels={channels} and network.strides={strides} must name a number of "
            "channels and a stride, 1 or more, for each convolution"
        )
    if len(input_shape) != 3:
        raise UserError(f"network.name='cnn' needs images [H, W, channels], not {input_shape}")
    if norm_groups < 0 or (norm_groups and any(n % norm_groups for n in channels)):
        raise UserError(
            f"network.norm_groups={norm_groups} must divide all of network.channels={channels}, "
            "or be 0"
        )
    if config.cells < 1:
        raise UserError(f"network.cells={config.cells} must be 1 or more")
    initial.check(config.init)
    module = CNN(channels, strides, n_outputs, bias, norm_groups, config.cells, config.init)

    axes: dict[str, tuple[str, ...]] = {}
    layers = [f"channels_{i}" for i in range(len(channels))]
    for i, (layer, before) in enumerate(zip(layers, ["input", *layers[:-1]], strict=True)):
        axes[f"conv_{i}/kernel"] = ("row", "column", before, layer)
        if bias:
            axes[f"conv_{i}/bias"] = (layer,)
        if norm_groups:
            axes |= {f"norm_{i}/scale": (layer,), f"norm_{i}/bias": (layer,)}
    cell = ("cell_row", "cell_column") if config.cells > 1 else ()
    axes |= {"output/kernel": (*cell, layers[-1], OUTPUT), "output/bias": (OUTPUT,)}
    network = of_module(
        NETWORK,
        module,
        input_shape,
        n_outputs,
        images=True,
        axes=axes,
        units=tuple((layer,) for layer in layers),
        symmetries=tuple(Permutation(layer, max(norm_groups, 1)) for layer in layers),
    )
    microbatch = max(CACHE // _largest(channels, strides, input_shape), 1)
    return dataclasses.replace(network, microbatch=microbatch)


def _largest(
    channels: tuple[int, ...], strides: tuple[int, ...], input_shape: tuple[int, ...]
) -> int:
    """Bound the bytes of the shifted images that a convolution multiplies, for one example."""
    height, width, n_in = input_shape
    largest = 0
    for n_out, stride in zip(channels, strides, strict=True):
        height, width = -(-height // stride), -(-width // stride)
        largest = max(largest, 4 * SIZE * SIZE * n_in * height * width)
        n_in = n_out
    return largest


def _torch_names(network: Network) -> dict[str, str]:
    n = len(network.units)
    found = {f"{kind}_{i}": f"{kind}{i + 1}" for kind in ("conv", "norm") for i in range(n)}
    return found | {OUTPUT: "fc"}


def _forward(config: CNNConfig, network: Network) -> str:
    norm = f"norm: GroupNorm({config.norm_groups}, eps=1e-6), then " if config.norm_groups else ""
    strides = ", ".join(map(str, config.strides))
    pooling = "mean over H and W"
    if config.cells > 1:
        pooling = f"AdaptiveAvgPool2d({config.cells}), flatten"
    return (
        f"x [B, channels, H, W]; each conv: 3x3, padding 1, strides {strides}, then {norm}relu; "
        f"{pooling}; fc"
    )


NETWORK = NetworkKind(
    name="cnn",
    config=CNNConfig,
    build=build,
    outputs=Outputs.CLASSES,
    torch=TorchModule(names=_torch_names, forward=_forward),
    shorthand=Shorthand(
        "cnn",
        "CHANNELS,...,OUT",
        lambda channels: CNNConfig(channels, (2, *[1] * (len(channels) - 1)), bias=False),
        images=True,
    ),
    any_size=True,
)
