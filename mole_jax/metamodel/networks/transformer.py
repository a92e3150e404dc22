"""The diffusion transformer (Peebles & Xie 2023) over a network's tokens.

Each token of the representation becomes one input token, which has the noisy target and the start:
a unit sees its own history. The support set joins as context tokens. Scalars (diffusion time,
start and target metric) modulate every block (`adaln`) or join as tokens (`context`). Each block
decodes the current estimate, adds its probe gradient to the tokens and updates the estimate. The
inner steps follow: a few gradient steps of learned size, like MAML's inner loop.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mole_jax.metamodel.layers.cotangent_clipping import clip_cotangent
from mole_jax.metamodel.layers.embeddings import ScalarEmbedding, log_metric
from mole_jax.metamodel.layers.features import ConvFeatures, DenseFeatures
from mole_jax.metamodel.layers.products import Dense
from mole_jax.metamodel.layers.set_encoder import SetEncoder
from mole_jax.metamodel.networks import sharding, warps
from mole_jax.metamodel.networks.block import Block, Carry, light
from mole_jax.metamodel.networks.probing import Denoising, ProbeGradients, Probes, in_pieces
from mole_jax.metamodel.networks.shape import DTYPES, Shape
from mole_jax.metamodel.process.noising import Process
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.representation.codec import Layout
from mole_jax.representation.views import Pieces
from mole_jax.tasks.examples import Examples

# Initial size of an inner step along the direction of a probe gradient, in units of the output. All
# of them together stay well below the spread of the target.
FIRST_STEP = 0.02
# By what factor an inner step may lengthen the cotangent that is passed back through it.
GROWTH = 1.0


class Shown(NamedTuple):
    """The encoding of support sets, whatever is asked for: made once for many estimates."""

    context: jax.Array  # [B, K + Q, W] tokens of classes, and of the whole set
    probes: Probes | None  # support examples whose gradient is followed


class Transformer(nn.Module):
    """Noisy target, start, time and prompt -> output tokens [B, L, C] (see `Process`).

    With a mesh it constrains how arrays are divided between devices.
    """

    shape: Shape
    process: Process
    n_classes: int  # labels of the support set
    input_shape: tuple[int, ...]  # of the network
    n_targets: int  # size of a probe's target; 0: its label
    mesh: Mesh | None = None

    def n_tokens(self, layout: Layout) -> int:
        """Return how many tokens the blocks work on: the network's, and context."""
        return layout.n_tokens + self.shape.context(self.n_classes)

    def show(self, params: Any, support: Examples) -> Shown:
        """Return the encoding of support sets [B, n], for `Prompt.shown`."""
        found: Shown = self.apply({"params": params}, support, method="_shown")  # type: ignore[assignment]
        return found

    @nn.compact
    def __call__(self, of: Denoising, prompt: Prompt, probe_gradient: ProbeGradients) -> jax.Array:
        """Apply the transformer to B noisy networks and their prompts."""
        s, dtype = self.shape, DTYPES[self.shape.dtype]
        batch, length, _ = of.noisy.shape
        layout = of.representation.layout
        tokens = (None, *layout.shape)
        chex.assert_shape([of.noisy, of.start], tokens, custom_message="denoising [B, L, C]")
        noisy = self.process.preconditioned_input(of.noisy, of.anchor, of.t, of.scale)
        seen = [noisy, of.start]
        if of.there is not None:  # the sizes of a network are a condition, too
            seen.append(of.there.astype(noisy.dtype))
        use_start = prompt.use["start"]
        x = jnp.concatenate(seen, axis=-1).reshape(batch * length, -1)
        x = Dense(s.width, dtype=dtype, name="tokens_in")(x).reshape(batch, length, -1)
        x = x + self._places(layout).astype(dtype)[None]

        # Time and metrics are scaled to order 1 before their Fourier features.
        time_token = ScalarEmbedding(s.width, name="time")(4 * of.t)
        start_token = ScalarEmbedding(s.width, name="start_metric")(
            log_metric(prompt.start_metric), use_start
        )
        target_token = ScalarEmbedding(s.width, name="target_metric")(
            log_metric(prompt.target_metric), prompt.use["target_metric"], prompt.best
        )
        context, own = self._shown(prompt.support) if prompt.shown is None else prompt.shown
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

        output = jnp.zeros(of.noisy.shape)
        probes: tuple[Probes, ...] = ()
        if s.probes:
            probes += (self._probes(context, prompt.support.n_classes),)
        if own is not None and own.weights is not None:
            shown = prompt.use["support"][:, None].astype(jnp.float32)
            probes += (own._replace(weights=own.weights * shown),)
        block = self._block()
        stack = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, nn.broadcast, nn.broadcast),
            length=s.layers,
            unroll=min(s.unroll, s.layers),
        )(s, total, probe_gradient, self.mesh, name=sharding.STACK)
        there = self._there(prompt.support.n_classes, of.there, length, total)
        carry = Carry(x.reshape(batch * total, -1), output, condition)
        carry, _ = stack(carry, of, probes, there)

        x = sharding.shard_batch(carry.x.reshape(batch, total, -1), self.mesh)
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
        out = carry.output
        if s.writes:
            out = self._written(out, x, last_context, of, layout)
        if not probes or not s.inner_steps:
            return out
        looks: jax.Array | None = None  # [steps, B, n, F] what each inner step sees
        if own is not None and s.support_warps:
            looks = warps.varied(own.inputs, self.input_shape, s.support_warps, s.inner_steps)

        return self._refine(out, x, of, probe_gradient, probes, looks)

    def _written(
        self, output: jax.Array, x: jax.Array, classes: jax.Array, of: Denoising, layout: Layout
    ) -> jax.Array:
        """Add to the output [B, L, C] what the last tokens [B * L, W] write."""
        batch, length, channels = of.noisy.shape
        out = nn.Dense(channels, kernel_init=nn.initializers.zeros, name="tokens_out")(
            x.astype(jnp.float32)
        )
        # Keep this order: sums round, and the recorded results depend on it.
        out = output + out.reshape(batch, length, channels)
        # In a latent no channel belongs to one output, and there is nothing to join.
        if self.shape.pairwise and (layout.output >= 0).any():
            out = out + self._towards_classes(layout, x, classes, batch)
        if self.shape.mixing:
            out = out + self._mixing("start_mixing", layout)(of.start)
        return out

    def _block(self) -> type[nn.Module]:
        """Return the block, which gathers its parameters each time it runs."""
        s, mesh, block = self.shape, self.mesh, Block
        if mesh is not None and mesh.shape["fsdp"] > 1:
            block = nn.map_variables(
                block, "params", lambda params: sharding.gathered(light(params, s), mesh, s.layers)
            )
        return nn.remat(block, prevent_cse=False) if s.remat else block

    def _features(self) -> nn.Module:
        s, dtype = self.shape, DTYPES[self.shape.dtype]
        if s.features == "conv":
            return ConvFeatures(self.input_shape, s.feature_width, dtype)
        return DenseFeatures(s.feature_width, dtype)

    def _there(
        self, n_classes: jax.Array | None, own: jax.Array | None, length: int, total: int
    ) -> jax.Array | None:
        """Return which tokens exist, [B, L'] bool; None: all.

        Tokens of classes that a task lacks do not, nor do those of units that its network lacks;
        `own` [B, L, C] are the channels that the network has.
        """
        found = None
        if n_classes is not None:
            place = jnp.arange(total)[None] - length  # classes come after the tokens of a network
            absent = (place >= n_classes[:, None]) & (place < self.n_classes)
            found = ~absent
        if own is not None:
            units = jnp.any(own, axis=-1)  # [B, L]
            units = jnp.pad(units, ((0, 0), (0, total - length)), constant_values=True)
            found = units if found is None else found & units
        return found

    def _probes(self, context: jax.Array, n_classes: jax.Array | None) -> Probes:
        """Make probes, examples to run networks on, from the class tokens: `probes` per class.

        The target of a probe is the label of its class; without labels, targets are made up, too.
        """
        s, batch, n_inputs = self.shape, len(context), math.prod(self.input_shape)
        classes = context[:, : self.n_classes].astype(jnp.float32).reshape(-1, s.width)
        h = nn.gelu(nn.Dense(s.width, name="probe_hidden")(classes))
        inputs = nn.Dense(s.probes * n_inputs, name="probes")(h)
        inputs = inputs.reshape(batch, -1, n_inputs)
        if self.n_targets:
            targets = nn.Dense(s.probes * self.n_targets, name="probe_targets")(h)
            return Probes(inputs, targets.reshape(batch, -1, self.n_targets))
        labels = jnp.repeat(jnp.arange(self.n_classes), s.probes)
        labels = jnp.broadcast_to(labels, (batch, *labels.shape))
        if n_classes is None:
            return Probes(inputs, labels)
        present = (labels < n_classes[:, None]).astype(jnp.float32)
        return Probes(inputs, labels, present, n_classes)

    @nn.compact
    def _shown(self, support: Examples) -> Shown:
        s = self.shape
        context, weights = SetEncoder(
            self.n_classes,
            s.width,
            self._features(),
            s.support_queries,
            DTYPES[s.dtype],
            weigh=bool(s.support_probes) and s.support_weights,
            name="support",
        )(support)
        return Shown(context, self._support_probes(support, weights) if s.support_probes else None)

    def _support_probes(self, support: Examples, weights: jax.Array | None) -> Probes:
        """Return the support examples whose gradient is followed: the first of each class."""
        inputs, labels, mask, n_classes = support
        own = jax.nn.one_hot(labels, self.n_classes, dtype=jnp.int32) * mask[..., None]  # [B, n, K]
        place = jnp.sum(jnp.cumsum(own, axis=1) * own, axis=-1)  # in its class, from 1; 0: padding
        first = mask & (place <= self.shape.support_probes)
        counts = first.astype(jnp.float32)
        if weights is not None:
            counts = counts * weights
        most = self.n_classes * self.shape.support_probes
        if labels.shape[1] > most:  # leave out those that do not count
            kept = jnp.argsort(~first, axis=1, stable=True)[:, :most]
            labels, counts = (jnp.take_along_axis(x, kept, axis=1) for x in (labels, counts))
            inputs = jnp.take_along_axis(inputs, kept[..., None], axis=1)
        return Probes(inputs, labels, counts, n_classes)

    def _refine(
        self,
        output: jax.Array,
        tokens: jax.Array,
        of: Denoising,
        probe_gradients: ProbeGradients,
        probes: tuple[Probes, ...],
        looks: jax.Array | None,
    ) -> jax.Array:
        """Take the inner steps: gradient steps on each set of probes.

        Each token sets the step size of its channels, and a gain for each step. Mixing gives steps
        a learned metric (Park & Oliva 2019, Meta-Curvature). Everything is in pieces of tokens: on
        a CPU, joining them in each step took longer than the products.
        """
        s, (batch, length, channels) = self.shape, output.shape
        representation, n_sets = of.representation, len(probes)
        tokens, zeros = tokens.astype(jnp.float32), nn.initializers.zeros
        size = nn.Dense(2 * n_sets * channels, kernel_init=zeros, name="step_size")(tokens)
        size = s.scaled(size.reshape(batch, length, n_sets, 2, channels))
        gain = nn.Dense(2 * n_sets * s.inner_steps, kernel_init=zeros, name="step_gain")(tokens)
        gain = 1 + gain.reshape(batch, length, s.inner_steps, n_sets, 2, 1)
        mixing = self._mixing("step_mixing", representation.layout) if s.mixing else None
        sizes = [
            (
                representation.split(FIRST_STEP + size[:, :, i, 0]),
                representation.split(size[:, :, i, 1]),
            )
            for i in range(n_sets)
        ]
        apart = in_pieces(of)

        def step(
            output: Pieces, gain: jax.Array, sizes: list[tuple[Pieces, Pieces]], look: Any
        ) -> Pieces:
            own = probes if look is None else (*probes[:-1], probes[-1]._replace(inputs=look))
            gradients = [probe_gradients.in_pieces(output, apart, p) for p in own]
            after = output
            for i, (gradient, (first, second)) in enumerate(zip(gradients, sizes, strict=True)):
                gains = [gain[:, rows, i] for rows in representation.rows]
                ways = first, gradient.direction, second, gradient.magnitude
                after = tuple(map(_advanced, after, gains, *ways))
            if mixing is None:
                return after
            moved = representation.join(tuple(a - b for a, b in zip(after, output, strict=True)))
            more = representation.split(mixing(moved))
            return tuple(a + b for a, b in zip(after, more, strict=True))

        # All but products is recomputed in the backward pass: storing it takes longer.
        cheap = jax.checkpoint_policies.dots_saveable
        step = jax.checkpoint(step, prevent_cse=False, policy=cheap)

        # Scanned, not unrolled: compiling gradients of gradients takes long.
        def body(output: Pieces, of_step: tuple[jax.Array, Any]) -> tuple[Pieces, None]:
            gain, look = of_step
            return clip_cotangent(step, GROWTH)(output, gain, sizes, look), None

        if s.remat:
            body = jax.checkpoint(body, prevent_cse=False)
        refined, _ = jax.lax.scan(
            body, representation.split(output), (jnp.moveaxis(gain, 2, 0), looks)
        )
        return representation.join(refined)

    def _mixing(self, name: str, layout: Layout) -> Callable[[jax.Array], jax.Array]:
        """Make a low-rank linear map between the channels of a token, one for each kind of token.

        It is 0 at first; the factor that is not 0 lets it learn faster.
        """
        kinds, channels, rank = int(layout.kind.max()) + 1, layout.shape[1], self.shape.mixing
        init = nn.initializers.normal(channels**-0.5)
        down = self.param(f"{name}_in", init, (kinds, channels, rank))
        up = self.param(f"{name}_out", nn.initializers.zeros, (kinds, rank, channels))
        bounds = np.searchsorted(layout.kind, range(kinds + 1))  # tokens of a kind are contiguous
        one_product = channels < 2 * rank  # fewer operations than two products
        maps = [(a @ b,) if one_product else (a, b) for a, b in zip(down, up, strict=True)]

        def mixed(x: jax.Array) -> jax.Array:  # [B, L, C]
            parts = []
            for begin, end, factors in zip(bounds[:-1], bounds[1:], maps, strict=True):
                parts.append(functools.reduce(jnp.matmul, factors, x[:, begin:end]))
            return jnp.concatenate(parts, axis=1)

        return mixed

    def _towards_classes(
        self, layout: Layout, tokens: jax.Array, classes: jax.Array, batch: int
    ) -> jax.Array:
        """Multiply each unit's token with the token of each class: [B, L, C].

        The product goes to the channels of that class's output, so an outgoing weight depends on
        what the class looks like and not only on its label.
        """
        s, channel = self.shape, layout.output  # [L, C]
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

    def _places(self, layout: Layout) -> jax.Array:
        """Embed each token's kind, and its position where it has a meaning: [L, W]."""
        width = self.shape.width
        init = nn.initializers.normal(0.5)
        kind = self.param("kind", init, (int(layout.kind.max()) + 1, width))
        places = kind[np.asarray(layout.kind)]
        if layout.position.max() > 0:
            position = self.param("position", init, (int(layout.position.max()) + 1, width))
            places = places + position[np.asarray(layout.position)]
        return places


def _advanced(
    x: jax.Array,
    gain: jax.Array,
    first: jax.Array,
    direction: jax.Array,
    second: jax.Array,
    magnitude: jax.Array,
) -> jax.Array:
    """Return a piece [B, tokens, channels] after a step with gain [B, tokens, 2, 1]."""
    return x + gain[:, :, 0] * first * direction + gain[:, :, 1] * second * magnitude
