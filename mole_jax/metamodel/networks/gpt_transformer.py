"""G.pt, the transformer of Peebles et al. 2022 (arXiv 2209.12892), as its authors trained it.

Its tokens are pieces of one long vector, in this order: the noisy target, the start, diffusion
time, target metric minus start metric, target metric, start metric (see `tokenisation.py`). Each
has its own linear encoder without bias; they share a LayerNorm, learned positions, pre-norm blocks
and a last LayerNorm. The first output tokens are decoded, each by its own linear map that starts at
zero. Scalars - raw steps, raw metrics - enter as sines and cosines. The support set is ignored. Its
known weaknesses can be repaired one at a time (see `Tokens`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mole_jax.core.errors import UserError
from mole_jax.core.program.sections import NOT_A_KEY
from mole_jax.metamodel.layers.attention import attention
from mole_jax.metamodel.layers.embeddings import log_metric, sines
from mole_jax.metamodel.layers.products import Dense
from mole_jax.metamodel.networks import sharding, tokenisation
from mole_jax.metamodel.networks.probing import Denoising, ProbeGradients
from mole_jax.metamodel.networks.shape import DTYPES, Shape
from mole_jax.metamodel.process.noising import Process
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.representation.codec import Layout
from mole_jax.tasks.examples import Examples

EPSILON = 1e-5  # of LayerNorm
_INIT = nn.initializers.normal(0.02)


@dataclasses.dataclass(frozen=True)
class Tokens:
    """How numbers become tokens: `config.metamodel.gpt`."""

    # Where vectors are cut: chunk, chunk_within_layer, chunk_within_input or layer_by_layer
    # (tokenisation.py).
    split: str = "chunk_within_layer"
    chunk_size: int = 1000  # numbers of a token, at most
    encoder_depth: int = 1  # linear layers of a token's encoder, with GELUs between them
    decoder_depth: int = 1  # linear layers of a token's decoder
    n_frequencies: int = 128  # sines and cosines of a scalar, each
    max_frequency_log2: float = 14.0  # the largest frequency, as a power of two
    absolute_metrics: bool = True  # target and start metric are tokens, besides their difference
    # An imported model may read metric * scale + shift.
    metric_scale: float = dataclasses.field(default=1.0, metadata=NOT_A_KEY)
    metric_shift: float = dataclasses.field(default=0.0, metadata=NOT_A_KEY)
    # This key and the next two are repairs that G.pt lacks. A linear map and a LayerNorm hide how
    # large a chunk is: its log norm is added. Features of raw diffusion steps are nearly alike (500
    # and 900 have a cosine similarity of 0.9997): they are scaled to 0..4. Metrics become
    # logarithms. Our other meta-model does both.
    visible_norms: bool = False  # add a chunk's log norm
    scaled_time: bool = False  # diffusion steps in 0..4
    log_metrics: bool = False  # metrics as logarithms
    # Used instead of powers of two, for models whose program rounded these differently: the highest
    # oscillate so fast that the last bit of a frequency changes the features.
    frequencies: tuple[float, ...] = dataclasses.field(default=(), metadata=NOT_A_KEY)

    @staticmethod
    def of(config: Mapping[str, Any]) -> Tokens:
        """Read and check a section, with the above defaults; raises UserError."""
        known = [field.name for field in dataclasses.fields(Tokens)]
        if unknown := sorted(set(config) - set(known)):
            raise UserError(f"metamodel.gpt: {unknown} are unknown; there are {', '.join(known)}")
        values = dict(config)
        values["frequencies"] = tuple(values.get("frequencies", ()))
        tokens = Tokens(**values)
        for name in ("encoder_depth", "decoder_depth", "n_frequencies"):
            if getattr(tokens, name) < 1:
                raise UserError(f"metamodel.gpt.{name}={getattr(tokens, name)} must be 1 or more")
        if len(tokens.frequencies) not in (0, tokens.n_frequencies):
            raise UserError(
                f"metamodel.gpt.frequencies has {len(tokens.frequencies)} values, and metamodel."
                f"gpt.n_frequencies={tokens.n_frequencies}: make them agree, or leave it empty"
            )
        return tokens

    @property
    def rates(self) -> np.ndarray:  # [n] float32
        """The frequencies: evenly spaced powers of two, from 1."""
        if self.frequencies:
            return np.array(self.frequencies, np.float32)
        powers = np.linspace(0, self.max_frequency_log2, self.n_frequencies)
        return np.exp2(powers).astype(np.float32)

    @property
    def scalar_size(self) -> int:
        """Features of a scalar: sines, cosines and itself."""
        return 2 * self.n_frequencies + 1

    def sizes(self, tensors: tuple[int, ...]) -> tokenisation.TokenSizes:
        """Return the sizes of the tokens for a network with tensors of these sizes."""
        n_scalars = 4 if self.absolute_metrics else 2
        return tokenisation.token_sizes(
            self.split, self.chunk_size, tensors, n_scalars, self.scalar_size
        )


class GPTBlock(nn.Module):
    """A pre-norm transformer block: attention over all tokens, then an MLP, each added."""

    shape: Shape
    mesh: Mesh | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, None]:  # [B, L', W]
        s, dtype = self.shape, DTYPES[self.shape.dtype]
        x = sharding.shard_batch(x, self.mesh)
        heads = (s.heads, s.width // s.heads)
        h = _norm("norm_attention", dtype)(x)
        q, k, v = (
            Dense(heads, dtype=dtype, kernel_init=_INIT, name=name)(h)
            for name in ("query", "key", "value")
        )
        y = attention(q, k, v).reshape(x.shape)
        x = x + Dense(s.width, dtype=dtype, kernel_init=_INIT, name="attention_out")(y)
        h = _norm("norm_mlp", dtype)(x)
        h = Dense(s.hidden, dtype=dtype, kernel_init=_INIT, name="mlp_in")(h)
        h = Dense(s.width, dtype=dtype, kernel_init=_INIT, name="mlp_out")(_gelu(h))
        return x + h, None


class GPT(nn.Module):
    """Noisy target, start, time and metrics -> output [B, 1, D] (see `Process`).

    Networks are `flat` (see `representation/flat.py`). The features of an absent condition are
    zeros; the reference has no absent conditions.
    """

    shape: Shape
    tokens: Tokens
    process: Process
    tensors: tuple[int, ...]  # parameters of each tensor of the network
    mesh: Mesh | None = None

    @property
    def token_sizes(self) -> tokenisation.TokenSizes:
        """Sizes of the tokens that go in and come out."""
        return self.tokens.sizes(self.tensors)

    def n_tokens(self, layout: Layout) -> int:
        """Return how many tokens the blocks work on."""
        return len(self.token_sizes.inputs)

    def show(self, params: Any, support: Examples) -> None:
        """Return nothing: support sets are ignored."""

    @nn.compact
    def __call__(
        self, of: Denoising, prompt: Prompt, probe_gradient: ProbeGradients | None = None
    ) -> jax.Array:
        """Apply the transformer to B noisy networks and their prompts; without probes."""
        x, _ = self._stack()(self._entering(of, prompt))
        x = _norm("norm_out", jnp.float32)(sharding.shard_batch(x, self.mesh))
        pieces = [self._decoded(i, n, x[:, i]) for i, n in enumerate(self.token_sizes.outputs)]
        out = jnp.concatenate(pieces, axis=1)[:, None]
        # The reference adds the start to any prediction, even to noise; `Process` adds it for the
        # other predictions.
        return out + of.start if self.process.prediction == "eps" else out

    @nn.compact
    def _entering(self, of: Denoising, prompt: Prompt) -> jax.Array:
        """Return the tokens that the blocks begin with: [B, L', W]."""
        dtype = DTYPES[self.shape.dtype]
        vector = self._vector(of, prompt).astype(dtype)
        cuts = list(itertools.accumulate(self.token_sizes.inputs))[:-1]
        x = jnp.stack(
            [self._encoded(i, piece) for i, piece in enumerate(jnp.split(vector, cuts, axis=1))],
            axis=1,
        )  # [B, L', W]
        x = _norm("norm_in", dtype)(x)
        if self.tokens.visible_norms:
            x = x + self._sizes(vector, cuts).astype(dtype)
        place = self.param("position", nn.initializers.zeros, x.shape[1:])
        return x + place[None].astype(dtype)

    def _vector(self, of: Denoising, prompt: Prompt) -> jax.Array:
        """Concatenate all inputs: [B, 2 D + scalars]."""
        flat = (None, 1, sum(self.tensors))
        chex.assert_shape([of.noisy, of.start], flat, custom_message="denoising [B, 1, D]")
        noisy = self.process.preconditioned_input(of.noisy, of.anchor, of.t, of.scale)
        target, start = map(self._metric, (prompt.target_metric, prompt.start_metric))
        has_target, has_start = prompt.use["target_metric"], prompt.use["start"]
        scalars = [(target - start, has_target & has_start)]
        if self.tokens.absolute_metrics:
            scalars += [(target, has_target), (start, has_start)]
        features = [jnp.where(use[:, None], self._features(x), 0.0) for x, use in scalars]
        time = 4 * of.t if self.tokens.scaled_time else self.process.step(of.t)
        time = self._features(time)
        return jnp.concatenate([noisy[:, 0], of.start[:, 0], time, *features], axis=1)

    def _metric(self, metric: jax.Array) -> jax.Array:
        if self.tokens.log_metrics:
            return log_metric(metric)
        return metric * self.tokens.metric_scale + self.tokens.metric_shift

    def _sizes(self, vector: jax.Array, cuts: list[int]) -> jax.Array:
        """Return what a chunk's root mean square adds to its token: [B, L', W]."""
        pieces = jnp.split(vector.astype(jnp.float32), cuts, axis=1)
        size = jnp.stack([jnp.sqrt(jnp.mean(piece**2, axis=1) + 1e-6) for piece in pieces], axis=1)
        shape = (len(pieces), self.shape.width)
        return (
            jnp.log(size)[..., None] * self.param("size", nn.initializers.normal(0.5), shape)[None]
        )

    def _features(self, x: jax.Array) -> jax.Array:
        """Return sines, cosines and the scalar itself: [B] -> [B, F]."""
        return jnp.concatenate([sines(x, self.tokens.rates), x[:, None]], axis=1)

    def _encoded(self, token: int, piece: jax.Array) -> jax.Array:
        for layer in range(self.tokens.encoder_depth):
            piece = _gelu(piece) if layer else piece
            piece = self._linear(self.shape.width, f"token_in_{token}_{layer}")(piece)
        return piece

    def _decoded(self, token: int, size: int, x: jax.Array) -> jax.Array:
        """Decode a token, with a last layer in float32 that starts at zero: [B, W] -> [B, size]."""
        last = self.tokens.decoder_depth - 1
        for layer in range(last):
            x = _gelu(self._linear(self.shape.width, f"token_out_{token}_{layer}")(x))
        zeros = nn.initializers.zeros
        name = f"token_out_{token}_{last}"
        return nn.Dense(size, use_bias=False, kernel_init=zeros, name=name)(x.astype(jnp.float32))

    def _linear(self, size: int, name: str) -> nn.Module:
        dtype = DTYPES[self.shape.dtype]
        return Dense(size, use_bias=False, dtype=dtype, kernel_init=_INIT, name=name)

    def _stack(self) -> nn.Module:
        """Return the blocks, which gather their parameters where they run."""
        s, mesh, block = self.shape, self.mesh, GPTBlock
        if mesh is not None and mesh.shape["fsdp"] > 1:
            block = nn.map_variables(
                block, "params", lambda params: sharding.gathered(params, mesh, s.layers)
            )
        block = nn.remat(block, prevent_cse=False) if s.remat else block
        scanned = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=s.layers,
            unroll=min(s.unroll, s.layers),
        )
        return scanned(s, mesh, name=sharding.STACK)


def _norm(name: str, dtype: jnp.dtype) -> nn.Module:
    return nn.LayerNorm(epsilon=EPSILON, dtype=dtype, name=name)


def _gelu(x: jax.Array) -> jax.Array:
    return nn.gelu(x, approximate=False)
