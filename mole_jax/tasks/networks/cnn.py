"""Convolutional networks: 3x3 convolutions with strides, global average pooling, a linear layer."""

from __future__ import annotations

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import OUTPUT, Network, of_module
from mole_jax.tasks.networks.symmetries import Permutation

SIZE = 3


class Convolution(nn.Module):
    """A 3x3 convolution with a border of one zero: [B, H, W, C] -> [B, H', W', channels].

    Written as one product with the nine shifted images side by side. Under vmap over networks a
    convolution would become a grouped one, which XLA's CPU backend runs several times slower than
    the batched product that this becomes.
    """

    channels: int
    stride: int
    bias: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n_in = x.shape[-1]
        kernel = self.param(
            "kernel", nn.initializers.he_uniform(), (SIZE, SIZE, n_in, self.channels)
        )
        height, width = x.shape[1:3]
        x = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        shifted = [
            x[:, i : i + height : self.stride, j : j + width : self.stride]
            for i, j in itertools.product(range(SIZE), repeat=2)
        ]
        y = jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, self.channels)
        if self.bias:
            bias = self.param("bias", nn.initializers.zeros, (self.channels,))
            y = y + jnp.broadcast_to(bias, y.shape)
        return y


class CNN(nn.Module):
    """`conv_0`, `norm_0`, ReLU, ..., mean over the image, `output`."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    n_outputs: int
    bias: bool
    norm_groups: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i, (channels, stride) in enumerate(zip(self.channels, self.strides, strict=True)):
            x = Convolution(channels, stride, self.bias, name=f"conv_{i}")(x)
            if self.norm_groups:
                x = nn.GroupNorm(self.norm_groups, name=f"norm_{i}")(x)
            x = nn.relu(x)
        return nn.Dense(self.n_outputs, name="output")(jnp.mean(x, axis=(1, 2)))


def build(
    channels: tuple[int, ...],
    strides: tuple[int, ...],
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    bias: bool,
    norm_groups: int,
) -> Network:
    """A CNN with a convolution for each entry of `channels` and `strides`.

    `(16, 32)`, `(2, 1)`, no bias and no normalisation on [32, 32, 3] and 10 classes is the CIFAR-10
    network of G.pt (Peebles et al. 2022), D = 5,370.

    Args:
        channels: of each convolution.
        strides: of each convolution.
        input_shape: [H, W, channels].
        n_outputs: K.
        bias: whether convolutions have one.
        norm_groups: of the GroupNorm after each convolution; 0 for none.

    Raises:
        UserError: for sizes that do not fit together.
    """
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
    module = CNN(channels, strides, n_outputs, bias, norm_groups)

    axes: dict[str, tuple[str, ...]] = {}
    layers = [f"channels_{i}" for i in range(len(channels))]
    for i, (layer, before) in enumerate(zip(layers, ["input", *layers[:-1]], strict=True)):
        axes[f"conv_{i}/kernel"] = ("row", "column", before, layer)
        if bias:
            axes[f"conv_{i}/bias"] = (layer,)
        if norm_groups:
            axes |= {f"norm_{i}/scale": (layer,), f"norm_{i}/bias": (layer,)}
    axes |= {"output/kernel": (layers[-1], OUTPUT), "output/bias": (OUTPUT,)}
    return of_module(
        "cnn",
        module,
        input_shape,
        n_outputs,
        images=True,
        axes=axes,
        units=tuple((layer,) for layer in layers),
        symmetries=tuple(Permutation(layer, max(norm_groups, 1)) for layer in layers),
    )
