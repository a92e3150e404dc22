"""A block of the diffusion transformer, and what one block passes to the next."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mole_jax.metamodel.layers.attention import attention
from mole_jax.metamodel.layers.products import Dense, repeated
from mole_jax.metamodel.networks import sharding
from mole_jax.metamodel.networks.probing import Denoising, ProbeGradients, Probes
from mole_jax.metamodel.networks.shape import DTYPES, Shape
from mole_jax.representation.codec import Layout

_IN_FLOAT32 = ("estimate",)  # layers of a block whose products are not in `dtype`


class Carry(NamedTuple):
    """What one block passes to the next."""

    x: jax.Array  # [B * L', W]: L tokens of the network, then context
    output: jax.Array  # [B, L, C] so far
    condition: jax.Array  # [B, W]


class Block(nn.Module):
    """A pre-norm transformer block that reads the probe gradient, and then updates the output."""

    shape: Shape
    length: int  # L'
    probe_gradient: ProbeGradients
    mesh: Mesh | None = None

    @nn.compact
    def __call__(
        self,
        carry: Carry,
        of: Denoising | None,
        probes: tuple[Probes, ...],
        there: jax.Array | None,  # [B, L'] bool: which tokens exist; None: all
    ) -> tuple[Carry, None]:
        x, output, condition = sharding.shard_batch(carry, self.mesh)
        # Benchmarks time blocks alone, without a network.
        layout = None if of is None else of.representation.layout
        if not probes or of is None:
            return Carry(self._mix(x, condition, there, layout), output, condition), None
        s, dtype = self.shape, DTYPES[self.shape.dtype]
        batch, n_tokens, channels = output.shape
        gradients = [part for p in probes for part in self.probe_gradient(output, of, p)]
        seen = jnp.concatenate(gradients, axis=-1).reshape(batch * n_tokens, -1)
        h = Dense(s.width, dtype=dtype, name="push_in")(seen).reshape(batch, n_tokens, -1)
        h = jnp.pad(h, ((0, 0), (0, self.length - n_tokens), (0, 0)))
        x = self._mix(x + h.reshape(x.shape), condition, there, layout)
        own = x.reshape(batch, self.length, -1)[:, :n_tokens].reshape(batch * n_tokens, -1)
        own = nn.LayerNorm(name="norm_estimate")(own.astype(jnp.float32))
        n_parts = len(gradients) + s.writes
        change = nn.Dense(n_parts * channels, kernel_init=nn.initializers.zeros, name="estimate")(
            own
        )
        parts = jnp.split(change.reshape(batch, n_tokens, -1), n_parts, axis=-1)
        if s.writes:
            output = output + parts.pop(0)
        for size, gradient in zip(parts, gradients, strict=True):
            output = output + s.scaled(size) * gradient
        return Carry(x, output, condition), None

    def _mix(
        self, x: jax.Array, condition: jax.Array, there: jax.Array | None, layout: Layout | None
    ) -> jax.Array:
        """Apply attention and MLP: tokens [B * L', W], condition [B, W] -> tokens."""
        s, dtype = self.shape, DTYPES[self.shape.dtype]
        adaln = s.conditioning == "adaln"

        def norm(name: str, x: jax.Array) -> jax.Array:
            return nn.LayerNorm(dtype=dtype, use_bias=not adaln, use_scale=not adaln, name=name)(x)

        # Tokens stay [B * L, W] around dense layers: one large product, twice as fast on CPU.
        def spread(v: jax.Array) -> jax.Array:  # [B, W] -> [B * L, W]
            return repeated(v, self.length)

        if adaln:
            modulation = Dense(
                6 * s.width, dtype=dtype, kernel_init=nn.initializers.zeros, name="modulation"
            )(nn.silu(condition))
            shift1, scale1, gate1, shift2, scale2, gate2 = map(
                spread, jnp.split(modulation, 6, axis=-1)
            )
            h = norm("norm_attention", x) * (1 + scale1) + shift1
            x = x + (1 + gate1) * self._attention(h, dtype, there, layout)
            h = norm("norm_mlp", x) * (1 + scale2) + shift2
            x = x + (1 + gate2) * self._mlp(h, dtype)
        else:
            x = x + self._attention(norm("norm_attention", x), dtype, there, layout)
            x = x + self._mlp(norm("norm_mlp", x), dtype)
        return x

    def _attention(
        self, x: jax.Array, dtype: jnp.dtype, there: jax.Array | None, layout: Layout | None
    ) -> jax.Array:
        s = self.shape
        # Heads are an axis of the kernel, so it can be sharded over heads.
        features = (3, s.heads, s.width // s.heads)
        qkv = Dense(features, dtype=dtype, name="qkv")(x)
        qkv = qkv.reshape(-1, self.length, *features)
        # Split, not indexed: gradients are then concatenated instead of padded and added.
        q, k, v = (part[:, :, 0] for part in jnp.split(qkv, 3, axis=2))  # [B, L, H, W / H]
        y = attention(q, k, v, there, self._edges(layout)).reshape(-1, s.width)
        return Dense(s.width, dtype=dtype, kernel_init=small(s), name="attention_out")(y)

    def _edges(self, layout: Layout | None) -> jax.Array | None:
        """Return the attention bias of edges [1, H, L', L'], learned for each kind and head."""
        if layout is None or layout.edges is None:
            return None
        n = int(layout.edges.max()) + 1
        of_kind = self.param("edges", nn.initializers.zeros, (n, self.shape.heads))
        rest = self.length - layout.n_tokens  # context has no edges
        kinds = np.pad(layout.edges, ((0, rest), (0, rest)))
        return jnp.moveaxis(of_kind[kinds], -1, 0)[None]

    def _mlp(self, x: jax.Array, dtype: jnp.dtype) -> jax.Array:
        s = self.shape
        h = nn.gelu(Dense(s.hidden, dtype=dtype, name="mlp_in")(x))
        return Dense(s.width, dtype=dtype, kernel_init=small(s), name="mlp_out")(h)


def light(params: Any, shape: Shape) -> Any:
    """Cast a block's parameters as its products would, so that fewer bytes are transferred."""
    return {
        name: {
            kind: x.astype(DTYPES[shape.dtype])
            if kind == "kernel" and name not in _IN_FLOAT32
            else x
            for kind, x in layer.items()
        }
        for name, layer in params.items()
    }


def small(shape: Shape) -> nn.initializers.Initializer:
    """Return an initializer that makes residual branches smaller in deeper networks.

    Radford et al. 2019.
    """
    return nn.initializers.variance_scaling(1 / (2 * shape.layers), "fan_in", "truncated_normal")
