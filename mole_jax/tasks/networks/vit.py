"""Tiny vision transformers (Dosovitskiy et al. 2021): patches, positions, pre-norm blocks."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import OUTPUT, Network, of_module
from mole_jax.tasks.networks.symmetries import Permutation, Rotation

POOLINGS = ("mean", "token")


class Attention(nn.Module):
    """Multi-head self-attention; kernels keep heads and their dimensions as axes."""

    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # [B, N, W]
        width = x.shape[-1]
        features = (self.heads, width // self.heads)
        q, k, v = (
            nn.DenseGeneral(features, name=name)(x)  # [B, N, H, d]
            for name in ("query", "key", "value")
        )
        y = jax.nn.dot_product_attention(q, k, v)
        return nn.DenseGeneral(width, axis=(-2, -1), name="out")(y)


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
        p = self.patch
        x = x.reshape(b, height // p, p, width // p, p, channels)
        x = jnp.swapaxes(x, 2, 3).reshape(b, -1, p * p * channels)  # [B, N, pixels of a patch]
        x = nn.Dense(self.width, name="embed")(x)
        small = nn.initializers.normal(0.02)
        if self.pooling == "token":
            token = self.param("class_token", small, (self.width,))
            token = jnp.broadcast_to(token, (b, 1, self.width))
            x = jnp.concatenate([token, x], axis=1)
        positions = self.param("positions", small, x.shape[1:])
        x = x + positions[None]
        for i in range(self.layers):
            h = nn.LayerNorm(name=f"block_{i}_norm_attention")(x)
            x = x + Attention(self.heads, name=f"block_{i}_attention")(h)
            h = nn.LayerNorm(name=f"block_{i}_norm_mlp")(x)
            h = nn.gelu(nn.Dense(self.mlp, name=f"block_{i}_mlp_in")(h))
            x = x + nn.Dense(self.width, name=f"block_{i}_mlp_out")(h)
        x = nn.LayerNorm(name="norm")(x)
        x = x[:, 0] if self.pooling == "token" else jnp.mean(x, axis=1)
        return nn.Dense(self.n_outputs, name="output")(x)


def build(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    patch: int,
    width: int,
    layers: int,
    heads: int,
    mlp: int,
    pooling: str,
) -> Network:
    """A vision transformer.

    Args:
        input_shape: [H, W, channels].
        n_outputs: K.
        patch: side of a patch in pixels.
        width: of the residual stream.
        layers: blocks of attention and MLP.
        heads: of each attention.
        mlp: hidden units of each MLP.
        pooling: "mean" over patches, or a class "token".

    Raises:
        UserError: for sizes that do not fit together.
    """
    sizes = {"patch": patch, "width": width, "layers": layers, "heads": heads, "mlp": mlp}
    for name, value in sizes.items():
        if value < 1:
            raise UserError(f"network.{name}={value} must be 1 or more")
    if len(input_shape) != 3 or input_shape[0] % patch or input_shape[1] % patch:
        raise UserError(
            f"network.patch={patch} must divide both sides of the images, which are {input_shape}"
        )
    if width % heads:
        raise UserError(f"network.width={width} must be a multiple of network.heads={heads}")
    if pooling not in POOLINGS:
        raise UserError(f"network.pooling={pooling!r} is unknown; there are {POOLINGS}")
    module = ViT(patch, width, layers, heads, mlp, pooling, n_outputs)

    return of_module(
        "vit",
        module,
        input_shape,
        n_outputs,
        images=True,
        axes=_axes(layers, pooling),
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
    """A dimension of a head, and a hidden unit of an MLP."""
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
