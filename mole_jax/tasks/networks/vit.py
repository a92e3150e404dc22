"""Tiny vision transformers (Dosovitskiy et al. 2021): patches, positions, pre-norm blocks."""

from __future__ import annotations

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import initial
from mole_jax.tasks.networks.network import OUTPUT, Network, NetworkKind, Outputs, of_module
from mole_jax.tasks.networks.symmetries import Permutation, Rotation

POOLINGS = ("mean", "token")
EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class ViTConfig:
    """A vision transformer for images."""

    patch: int = 4  # side of a patch in pixels
    width: int = 16  # size of the residual stream
    layers: int = 2  # blocks of attention and MLP
    heads: int = 2  # heads of each attention
    mlp: int = 32  # hidden units of each MLP
    pooling: str = "mean"  # what the last layer reads: mean (over patches) or token (a class token)
    init: str = initial.DEFAULT  # initialisation of layers; there is no other


# Inside the network features come first and tokens, of all images, last: [W, B * N]. On a CPU
# products, norms and their gradients are faster with the long axis last: by a half overall. Flax's
# own layers have features last; these have the same parameters and initialisation.


class Attention(nn.Module):
    """Multi-head self-attention; kernels keep heads and their dimensions as axes."""

    heads: int
    batch: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # [W, B * N]
        width = x.shape[0]
        features = (self.heads, width // self.heads)
        q, k, v = (
            _Dense((width,), features, name=name)(x).reshape(*features, self.batch, -1)
            for name in ("query", "key", "value")
        )  # [H, d, B, N]
        scores = jnp.einsum("hdbn,hdbm->hbnm", q / math.sqrt(features[1]), k)
        # This softmax divides the few sums of values, not the many shares: that saves a fifth of a
        # step.
        shares = jnp.exp(scores - jax.lax.stop_gradient(jnp.max(scores, -1, keepdims=True)))
        y = jnp.einsum("hbnm,hdbm->hbnd", shares, v) / jnp.sum(shares, -1, keepdims=True)
        y = jnp.transpose(y, (0, 3, 1, 2)).reshape(width, -1)
        return _Dense(features, (width,), name="out")(y)


class _Dense(nn.Module):
    """A linear layer with several axes of inputs and outputs: [inputs, B] -> [outputs, B]."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n_in, n_out = math.prod(self.inputs), math.prod(self.outputs)

        def init(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
            return nn.initializers.lecun_normal()(key, (n_in, n_out)).reshape(shape)

        kernel = self.param("kernel", init, (*self.inputs, *self.outputs))
        bias = self.param("bias", nn.initializers.zeros, self.outputs)
        return kernel.reshape(n_in, n_out).T @ x + bias.reshape(n_out, 1)


class LayerNorm(nn.Module):
    """Normalisation over features: [W, B] -> [W, B]."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, x.shape[:1])
        bias = self.param("bias", nn.initializers.zeros, x.shape[:1])
        mean = jnp.mean(x, axis=0)
        variance = jnp.var(x, axis=0)
        x = (x - mean[None]) * jax.lax.rsqrt(variance + EPSILON)[None]
        return x * scale[:, None] + bias[:, None]


class ViT(nn.Module):
    """`embed`, `positions`, blocks, `norm`, mean or class token, `output`."""

    patch: int
    width: int
    layers: int
    heads: int
    mlp: int
    pooling: str
    n_outputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # [B, height, width, channels]
        b, height, width, channels = x.shape
        w, p = (self.width,), self.patch
        x = x.reshape(b, height // p, p, width // p, p, channels)
        n_pixels = p * p * channels
        x = jnp.transpose(x, (2, 4, 5, 0, 1, 3)).reshape(n_pixels, -1)  # of a patch; [.., B * N]
        x = _Dense((n_pixels,), w, name="embed")(x).reshape(self.width, b, -1)
        small = nn.initializers.normal(0.02)
        if self.pooling == "token":
            token = self.param("class_token", small, w)
            token = jnp.broadcast_to(token[:, None, None], (self.width, b, 1))
            x = jnp.concatenate([token, x], axis=2)
        positions = self.param("positions", small, (x.shape[2], self.width))
        x = (x + positions.T[:, None]).reshape(self.width, -1)
        for i in range(self.layers):
            h = LayerNorm(name=f"block_{i}_norm_attention")(x)
            x = x + Attention(self.heads, b, name=f"block_{i}_attention")(h)
            h = LayerNorm(name=f"block_{i}_norm_mlp")(x)
            h = nn.gelu(_Dense(w, (self.mlp,), name=f"block_{i}_mlp_in")(h))
            x = x + _Dense((self.mlp,), w, name=f"block_{i}_mlp_out")(h)
        x = LayerNorm(name="norm")(x).reshape(self.width, b, -1)
        x = x[:, :, 0] if self.pooling == "token" else jnp.mean(x, axis=2)
        return _Dense(w, (self.n_outputs,), name="output")(x).T


def build(config: ViTConfig, input_shape: tuple[int, ...], n_outputs: int) -> Network:
    """Return a vision transformer for images [H, W, channels] of `n_outputs` classes.

    Raises:
        UserError: for sizes that do not fit together, or an unknown initialisation.
    """
    if config.init != initial.DEFAULT:
        raise UserError(f"network.init={config.init!r}: a vit knows {initial.DEFAULT!r} only")
    for name in ("patch", "width", "layers", "heads", "mlp"):
        if getattr(config, name) < 1:
            raise UserError(f"network.{name}={getattr(config, name)} must be 1 or more")
    patch, width, heads, layers = config.patch, config.width, config.heads, config.layers
    if len(input_shape) != 3 or input_shape[0] % patch or input_shape[1] % patch:
        raise UserError(
            f"network.patch={patch} must divide both sides of the images, which are {input_shape}"
        )
    if width % heads:
        raise UserError(f"network.width={width} must be a multiple of network.heads={heads}")
    if config.pooling not in POOLINGS:
        raise UserError(f"network.pooling={config.pooling!r} is unknown; there are {POOLINGS}")
    module = ViT(patch, width, layers, heads, config.mlp, config.pooling, n_outputs)
    return of_module(
        NETWORK,
        module,
        input_shape,
        n_outputs,
        images=True,
        axes=_axes(layers, config.pooling),
        units=(
            ("pixel",),
            ("place",),
            *(unit for i in range(layers) for unit in _units(i)),
            (OUTPUT,),
        ),
        symmetries=(
            Permutation("width"),
            *(
                symmetry
                for i in range(layers)
                for symmetry in (
                    Permutation(f"heads_{i}"),
                    Rotation(f"query_key_{i}", each=f"heads_{i}"),
                    Rotation(f"value_out_{i}", each=f"heads_{i}"),
                    Permutation(f"mlp_{i}"),
                )
            ),
        ),
    )


def _units(i: int) -> tuple[tuple[str, ...], ...]:
    """Return the axes of a head's dimensions, and of an MLP's hidden units."""
    return ((f"heads_{i}", f"query_key_{i}"), (f"heads_{i}", f"value_out_{i}"), (f"mlp_{i}",))


def _axes(layers: int, pooling: str) -> dict[str, tuple[str, ...]]:
    axes: dict[str, tuple[str, ...]] = {
        "embed/kernel": ("pixel", "width"),
        "embed/bias": ("width",),
        "positions": ("place", "width"),
        "norm/scale": ("width",),
        "norm/bias": ("width",),
        "output/kernel": ("width", OUTPUT),
        "output/bias": (OUTPUT,),
    }
    if pooling == "token":
        axes["class_token"] = ("width",)
    for i in range(layers):
        heads, block = f"heads_{i}", f"block_{i}"
        for name in ("query", "key", "value"):
            dims = f"value_out_{i}" if name == "value" else f"query_key_{i}"
            axes[f"{block}_attention/{name}/kernel"] = ("width", heads, dims)
            axes[f"{block}_attention/{name}/bias"] = (heads, dims)
        axes[f"{block}_attention/out/kernel"] = (heads, f"value_out_{i}", "width")
        axes[f"{block}_mlp_in/kernel"] = ("width", f"mlp_{i}")
        axes[f"{block}_mlp_in/bias"] = (f"mlp_{i}",)
        axes[f"{block}_mlp_out/kernel"] = (f"mlp_{i}", "width")
        for path in ("attention/out/bias", "mlp_out/bias"):
            axes[f"{block}_{path}"] = ("width",)
        for norm in ("norm_attention", "norm_mlp"):
            axes |= {f"{block}_{norm}/{p}": ("width",) for p in ("scale", "bias")}
    return axes


NETWORK = NetworkKind(name="vit", config=ViTConfig, build=build, outputs=Outputs.CLASSES)
