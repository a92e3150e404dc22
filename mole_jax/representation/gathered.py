"""Representations that are a gather table: each parameter sits in a channel of some token."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Self

import chex
import jax
import jax.numpy as jnp

from mole_jax.representation.codec import Codec, Layout
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.tokens import GRADIENT_UNIT, SMALLEST_SIZE, ProbeGradient
from mole_jax.tasks.parameters import ParameterSpec


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["fitted"], meta_fields=["codec", "spec"]
)
@dataclasses.dataclass(frozen=True, eq=False)
class Gathered:
    """A codec of normalised parameters: see `Representation`."""

    fitted: Fitted
    codec: Codec
    spec: ParameterSpec

    @property
    def layout(self) -> Layout:
        return self.codec.layout

    @property
    def change(self) -> jax.Array:
        return self.codec.encode(self.fitted.normaliser.change)

    def check(self) -> None:
        shape = (self.spec.size,)
        chex.assert_tree_shape(self.fitted.normaliser, shape, custom_message="normaliser [D]")

    def with_fitted(self, fitted: Fitted) -> Self:
        return dataclasses.replace(self, fitted=fitted)

    def encode(self, normalised: Any) -> jax.Array:
        return self.codec.encode(normalised)

    def denormalise(self, normalised: Any) -> jax.Array:
        return self.fitted.normaliser.denormalise(normalised)

    def tokens(self, parameters: Any) -> jax.Array:
        return self.codec.encode(self.fitted.normaliser.normalise(parameters))

    def parameters(self, tokens: Any) -> jax.Array:
        return self.denormalise(self.codec.decode(tokens))

    def pull_back(self, gradient: jax.Array) -> ProbeGradient:
        """Bring a gradient [B, D] to tokens; directions are relative to the size of each tensor."""
        chex.assert_shape(gradient, (None, self.spec.size), custom_message="gradient [B, D]")
        down = -gradient * self.fitted.normaliser.scale[None]
        directions = []
        for field in self.spec.fields:
            part = down[:, field.slice]
            square = jnp.mean(part**2, axis=1, keepdims=True)
            directions.append(part / jnp.sqrt(square + SMALLEST_SIZE**2))
        direction = self.codec.encode(jnp.concatenate(directions, axis=1))
        return ProbeGradient(direction, self.codec.encode(jnp.arcsinh(down / GRADIENT_UNIT)))
