"""Learned feature maps of the set encoder's examples, for vectors or for images."""

from __future__ import annotations

import itertools
import math

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from mole_jax.core.errors import UserError

KINDS = ("dense", "conv")
# Convolutions halve an image until its shorter side is no longer than this.
_SMALLEST_SIDE = 4


def check(kind: str, input_shape: tuple[int, ...]) -> None:
    """Raise UserError for an unknown kind, or convolutions over anything but images."""
    if kind not in KINDS:
        raise UserError(f"metamodel.features={kind!r} is unknown; there are {KINDS}")
    if kind == "conv" and len(input_shape) != 3:
        raise UserError(
            f"metamodel.features='conv' needs images [H, W, channels], not {input_shape}; "
            "use 'dense'"
        )


class DenseFeatures(nn.Module):
    """Two dense layers: examples [n, F] -> [n, width]."""

    width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for name in ("in", "hidden"):
            x = nn.gelu(nn.Dense(self.width, dtype=self.dtype, name=name)(x))
        return x


class ConvFeatures(nn.Module):
    """3x3 convolutions that halve the image, and a dense layer: examples [n, F] -> [n, width]."""

    image_shape: tuple[int, ...]  # [H, W, channels]
    width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = math.prod(self.image_shape)
        chex.assert_shape(x, (None, size), custom_message="examples [n, F]")
        x = x.reshape(-1, *self.image_shape)
        channels = max(self.width // 4, 8)
        for i in itertools.count():
            x = nn.Conv(channels, (3, 3), strides=2, dtype=self.dtype, name=f"conv_{i}")(x)
            x = nn.gelu(x)
            if min(x.shape[1:3]) <= _SMALLEST_SIDE:
                break
            channels = min(2 * channels, self.width)
        x = nn.Dense(self.width, dtype=self.dtype, name="out")(x.reshape(len(x), -1))
        return nn.gelu(x)
