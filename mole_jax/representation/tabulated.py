"""Representations that are a table: each parameter sits in a channel of some token."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Self

import chex
import jax
import jax.numpy as jnp

from mole_jax.representation import views
from mole_jax.representation.codec import Codec, Layout
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.tokens import GRADIENT_UNIT, SMALLEST_SIZE, ProbeGradient
from mole_jax.representation.views import Pieces


@functools.partial(jax.tree_util.register_dataclass, data_fields=["fitted"], meta_fields=["codec"])
@dataclasses.dataclass(frozen=True, eq=False)
class Tabulated:
    """A codec of normalised parameters: see `Representation`."""

    fitted: Fitted
    codec: Codec

    @property
    def layout(self) -> Layout:
        return self.codec.layout

    @property
    def change(self) -> jax.Array:
        return self.codec.encode(self.fitted.normaliser.change)

    def check(self) -> None:
        shape = (self.codec.spec.size,)
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

    @property
    def rows(self) -> tuple[slice, ...]:
        return tuple(slice(*view.rows) for _, view in self.codec.views.pieces)

    def split(self, tokens: jax.Array) -> Pieces:
        return views.split(self.codec.views, tokens)

    def join(self, pieces: Pieces) -> jax.Array:
        return views.join(self.codec.views, pieces)

    def network(self, pieces: Pieces) -> dict[str, Any]:
        # Scale pieces, not tensors: products then read them in the layout that they have here.
        mean, scale = (self._pieces(x) for x in self.fitted.normaliser[:2])
        scaled = tuple(x * s + m for x, s, m in zip(pieces, scale, mean, strict=True))
        return self.codec.spec.nested(views.tensors(self.codec.views, scaled))

    def pull_back(self, gradient: Mapping[str, Any], pieces: Pieces) -> ProbeGradient:
        """Map a gradient to pieces; directions are normalised per tensor."""
        uphill = views.pieces(self.codec.views, self.codec.spec.tensors(gradient))
        scale = self._pieces(self.fitted.normaliser.scale)
        down = [-x * s for x, s in zip(uphill, scale, strict=True)]
        square: dict[int, jax.Array] = {}  # each tensor's mean square, equal in all its copies
        directions = []
        for (number, _), part in zip(self.codec.views.pieces, down, strict=True):
            if number not in square:
                total = jnp.sum(part**2, axis=(1, 2), keepdims=True)
                square[number] = total / self.codec.spec.fields[number].size
            directions.append(part / jnp.sqrt(square[number] + SMALLEST_SIZE**2))
        magnitudes = tuple(jnp.arcsinh(part / GRADIENT_UNIT) for part in down)
        return ProbeGradient(tuple(directions), magnitudes)

    def _pieces(self, flat: Any) -> Pieces:
        """Return the pieces of constants [D], to be broadcast."""
        found = views.pieces(
            self.codec.views, self.codec.spec.tensors(self.codec.spec.unflatten(flat))
        )
        return tuple(x[None] for x in found)
