"""The seam between networks and tokens: what a meta-model knows of a network's parameters.

A representation is a codec after a normaliser. Meta-models see tokens [..., L, C] and the layout
that says what they are; how many parameters there are, and where, they need not know.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from mole_jax.representation.codec import Codec, Layout
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks.parameters import ParameterSpec

# Gradients are in nats for each unit of normalised parameters. Up to this size they count in
# proportion, above it logarithmically.
GRADIENT_UNIT = 0.01
# Directions are gradients over a tensor's root mean square, but no less than this: near a minimum
# the quotient would be noise, and its derivative unbounded.
SMALLEST_SIZE = 3e-3


class ProbeGradient(NamedTuple):
    """Where a gradient points, in tokens, downhill."""

    direction: jax.Array  # [B, L, C] each tensor of order 1
    magnitude: jax.Array  # [B, L, C] compressed: linear up to GRADIENT_UNIT


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["normaliser"],
    meta_fields=["codec", "spec"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Representation:
    """A gather table of normalised parameters.

    Zoo arrays on device are normalised already: `encode` and `decode` take and give these,
    `tokens` and `parameters` those of a network as it runs.
    """

    normaliser: Normaliser
    codec: Codec
    spec: ParameterSpec

    @property
    def layout(self) -> Layout:
        """What the tokens are."""
        return self.codec.layout

    def check(self) -> None:
        """Assert, while a function is traced, that the normaliser is of the network."""
        shape = (self.spec.size,)
        chex.assert_tree_shape(self.normaliser, shape, custom_message="normaliser [D]")

    def encode(self, normalised: Any) -> jax.Array:
        """Normalised parameters [..., D] -> tokens [..., L, C]."""
        return self.codec.encode(normalised)

    def tokens(self, parameters: Any) -> jax.Array:
        """Parameters [..., D] -> tokens [..., L, C]."""
        return self.codec.encode(self.normaliser.normalise(parameters))

    def parameters(self, tokens: Any) -> jax.Array:
        """Tokens [..., L, C] -> parameters [..., D]."""
        return self.normaliser.denormalise(self.codec.decode(tokens))

    @property
    def change(self) -> jax.Array:
        """How far later snapshots are from the first, root mean square: [L, C]."""
        return self.codec.encode(self.normaliser.change)

    def pull_back(self, gradient: jax.Array) -> ProbeGradient:
        """Bring a loss' gradient with respect to parameters [B, D] to tokens, downhill."""
        chex.assert_shape(gradient, (None, self.spec.size), custom_message="gradient [B, D]")
        down = -gradient * self.normaliser.scale[None]
        directions = []
        for field in self.spec.fields:
            part = down[:, field.slice]
            square = jnp.mean(part**2, axis=1, keepdims=True)
            directions.append(part / jnp.sqrt(square + SMALLEST_SIZE**2))
        direction = self.codec.encode(jnp.concatenate(directions, axis=1))
        return ProbeGradient(direction, self.codec.encode(jnp.arcsinh(down / GRADIENT_UNIT)))
