"""The diffusion transformer (Peebles & Xie 2023) over a network's tokens.

One token for each token of the representation carries the noisy target beside the start, so that
a unit sees its own history; the support set joins as context tokens. Scalars (diffusion time,
start and target metric) modulate every block (`adaln`) or join as tokens (`context`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.metamodel.embeddings import ScalarEmbedding, log_metric
from mole_jax.metamodel.prompt import Prompt
from mole_jax.metamodel.set_encoder import SetEncoder
from mole_jax.representation.codec import Codec

CONDITIONINGS = ("adaln", "context")
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes and choices of `config.metamodel`."""

    width: int
    layers: int
    heads: int
    mlp_ratio: int
    conditioning: str
    feature_width: int
    support_queries: int
    pairwise: bool
    dtype: str
    remat: bool
    unroll: int

    def check(self) -> None:
        """Raises UserError for sizes that do not fit together."""
        for name in ("width", "layers", "heads", "mlp_ratio", "feature_width", "unroll"):
            if getattr(self, name) < 1:
                raise UserError(f"metamodel.{name}={getattr(self, name)} must be 1 or more")
        if self.support_queries < 0:
            raise UserError(
                f"metamodel.support_queries={self.support_queries} must not be negative"
            )
        if self.width % self.heads:
            raise UserError(
                f"metamodel.width={self.width} must be a multiple of metamodel.heads={self.heads}"
            )
        if self.conditioning not in CONDITIONINGS:
            raise UserError(
                f"metamodel.conditioning={self.conditioning!r} is unknown; "
                f"there are {CONDITIONINGS}"
            )
        if self.dtype not in DTYPES:
            raise UserError(f"metamodel.dtype={self.dtype!r} is unknown; there are {tuple(DTYPES)}")


class Block(nn.Module):
    """A pre-norm transformer block; its scan carry is (tokens [B * L, W], condition [B, W])."""

    shape: Shape
    length: int

    @nn.compact
    def __call__(self, carry: tuple[jax.Array, jax.Array], _: None) -> tuple[Any, None]:
        x, condition = carry
        s, dtype = self.shape, DTYPES[self.shape.dtype]
        adaln = s.conditioning == "adaln"

        def norm(name: str, x: jax.Array) -> jax.Array:
            return nn.LayerNorm(dtype=dtype, use_bias=not adaln, use_scale=not adaln, name=name)(x)

        # Tokens stay [B * L, W] around dense layers: one large product, twice as fast on CPU.
        def spread(v: jax.Array) -> jax.Array:  # [B, W] -> [B * L, W]
            return jnp.repeat(v, self.length, axis=0)

        if adaln:
            modulation = nn.Dense(
                6 * s.width, dtype=dtype, kernel_init=nn.initializers.zeros, name="modulation"
            )(nn.silu(condition))
            shift1, scale1, gate1, shift2, scale2, gate2 = map(
                spread, jnp.split(modulation, 6, axis=-1)
            )
            h = norm("norm_attention", x) * (1 + scale1) + shift1
            x = x + (1 + gate1) * self._attention(h, dtype)
            h = norm("norm_mlp", x) * (1 + scale2) + shift2
            x = x + (1 + gate2) * self._mlp(h, dtype)
        else:
            x = x + self._attention(norm("norm_attention", x), dtype)
            x = x + self._mlp(norm("norm_mlp", x), dtype)
        return (x, condition), None

    def _attention(self, x: jax.Array, dtype: jnp.dtype) -> jax.Array:
        s = self.shape
        qkv = nn.Dense(3 * s.width, dtype=dtype, name="qkv")(x)
        qkv = qkv.reshape(-1, self.length, 3, s.heads, s.width // s.heads)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]  # [B, L, H, W / H]
        y = jax.nn.dot_product_attention(q, k, v).reshape(-1, s.width)
        return nn.Dense(s.width, dtype=dtype, kernel_init=_small(s), name="attention_out")(y)

    def _mlp(self, x: jax.Array, dtype: jnp.dtype) -> jax.Array:
        s = self.shape
        h = nn.gelu(nn.Dense(s.mlp_ratio * s.width, dtype=dtype, name="mlp_in")(x))
        return nn.Dense(s.width, dtype=dtype, kernel_init=_small(s), name="mlp_out")(h)


def _small(shape: Shape) -> nn.initializers.Initializer:
    """Residual branches start smaller the deeper the network (Radford et al. 2019)."""
    return nn.initializers.variance_scaling(1 / (2 * shape.layers), "fan_in", "truncated_normal")


class Transformer(nn.Module):
    """What is seen of a network, time and prompt -> output tokens [B, L, C]."""

    shape: Shape
    codec: Codec
    n_classes: int

    @nn.compact
    def __call__(self, seen: jax.Array, time: jax.Array, prompt: Prompt) -> jax.Array:
        """Apply the transformer.

        Args:
            seen: [B, L, n * C] noisy tokens, beside them the start's, and more of that shape.
            time: [B] diffusion time as a fraction in [0, 1].
            prompt: B prompts.
        """
        s, dtype = self.shape, DTYPES[self.shape.dtype]
        batch, length, _ = seen.shape
        channels = self.codec.n_channels
        use_start = prompt.use["start"]
        x = seen.reshape(batch * length, -1)
        x = nn.Dense(s.width, dtype=dtype, name="tokens_in")(x).reshape(batch, length, -1)
        x = x + self._places().astype(dtype)[None]

        # Time and metrics are scaled to order 1 before their Fourier features.
        time_token = ScalarEmbedding(s.width, name="time")(4 * time)
        start_token = ScalarEmbedding(s.width, name="start_metric")(
            log_metric(prompt.start_metric), use_start
        )
        target_token = ScalarEmbedding(s.width, name="target_metric")(
            log_metric(prompt.target_metric), prompt.use["target_metric"]
        )
        context = SetEncoder(
            self.n_classes, s.width, s.feature_width, s.support_queries, dtype, name="support"
        )(prompt.support)
        absent = self.param("no_support", nn.initializers.normal(0.02), context.shape[1:])
        context = jnp.where(
            prompt.use["support"][:, None, None], context, absent[None].astype(dtype)
        )
        parts = [x, context]
        if s.conditioning == "context":
            scalars = jnp.stack([time_token, start_token, target_token], axis=1)
            parts.append(scalars.astype(dtype))
        x = jnp.concatenate(parts, axis=1)  # [B, L', W]
        total = x.shape[1]
        condition = (time_token + start_token + target_token).astype(dtype)

        block = nn.remat(Block, prevent_cse=False) if s.remat else Block
        stack = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=s.layers,
            unroll=min(s.unroll, s.layers),
        )(s, total, name="blocks")
        (x, _), _ = stack((x.reshape(batch * total, -1), condition), None)

        x = x.reshape(batch, total, -1)
        last_context = x[:, length : length + self.n_classes].reshape(batch * self.n_classes, -1)
        x = x[:, :length].reshape(batch * length, -1)
        x = nn.LayerNorm(dtype=dtype, name="norm_out")(x)
        if s.conditioning == "adaln":
            shift, scale = jnp.split(
                nn.Dense(2 * s.width, kernel_init=nn.initializers.zeros, name="modulation_out")(
                    nn.silu(condition)
                ),
                2,
                axis=-1,
            )
            x = x * (1 + jnp.repeat(scale, length, 0)) + jnp.repeat(shift, length, 0)
        out = nn.Dense(channels, kernel_init=nn.initializers.zeros, name="tokens_out")(
            x.astype(jnp.float32)
        )
        out = out.reshape(batch, length, channels)
        return out + self._towards_classes(x, last_context, batch) if s.pairwise else out

    def _towards_classes(self, tokens: jax.Array, classes: jax.Array, batch: int) -> jax.Array:
        """What a unit owes to a class: a product of its token with the token of that class.

        Added to the channels that belong to that class's output, so that an outgoing weight
        follows what the class looks like and not only which label it has. [B, L, C]
        """
        s, channel = self.shape, self.codec.output_channels  # [L, C]
        unit = nn.Dense(s.width, name="unit_pair")(tokens.astype(jnp.float32))
        other = nn.Dense(s.width, name="class_pair", kernel_init=nn.initializers.zeros)(
            nn.LayerNorm(name="class_pair_norm")(classes.astype(jnp.float32))
        )
        pair = jnp.einsum(
            "blw,bkw->blk",
            unit.reshape(batch, -1, s.width),
            other.reshape(batch, -1, s.width),
        ) / jnp.sqrt(jnp.float32(s.width))
        place = np.eye(self.n_classes, dtype=np.float32)[np.maximum(channel, 0)]
        place = place * (channel >= 0)[..., None]  # [L, C, K]
        return jnp.einsum("blk,lck->blc", pair, jnp.asarray(place))

    def _places(self) -> jax.Array:
        """What a token is: its kind, and its position where position means something. [L, W]"""
        codec, width = self.codec, self.shape.width
        init = nn.initializers.normal(0.5)
        kind = self.param("kind", init, (int(codec.kind.max()) + 1, width))
        places = kind[np.asarray(codec.kind)]
        if codec.position.max() > 0:
            position = self.param("position", init, (int(codec.position.max()) + 1, width))
            places = places + position[np.asarray(codec.position)]
        return places
