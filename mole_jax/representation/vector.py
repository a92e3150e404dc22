"""Representations whose coordinates form one vector, which is cut into tokens."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, Self

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.representation.codec import Layout
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.tokens import GRADIENT_UNIT, SMALLEST_SIZE, ProbeGradient
from mole_jax.representation.views import Pieces


def layout(kind: str, size: int, width: int, output: np.ndarray | None = None) -> Layout:
    """Return the layout of a vector cut into tokens of one kind, each with a position.

    Args:
        kind: what the tokens are called.
        size: k coordinates.
        width: of a token; the last one is padded.
        output: [k] the one network output that a coordinate belongs to, or -1; None: all are -1.

    Raises:
        UserError: for a width below 1.
    """
    if width < 1:
        raise UserError(f"representation.chunk_size={width} must be 1 or more")
    width = min(width, size)
    length = -(-size // width)
    outputs = np.full(length * width, -1, np.int32)
    if output is not None:
        outputs[:size] = output
    return Layout(
        kinds=(kind,),
        kind=np.zeros(length, np.int32),
        position=np.arange(length, dtype=np.int32),
        output=outputs.reshape(length, width),
        mask=(np.arange(length * width) < size).reshape(length, width),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class InTokens(abc.ABC):
    """The common part of such representations: all tokens are one piece."""

    layout: Layout
    fitted: Fitted

    @abc.abstractmethod
    def encode(self, normalised: Any) -> jax.Array:
        """Normalised parameters [..., D] -> tokens [..., L, C]."""

    def with_fitted(self, fitted: Fitted) -> Self:
        return dataclasses.replace(self, fitted=fitted)

    def denormalise(self, normalised: Any) -> jax.Array:
        return self.fitted.normaliser.denormalise(normalised)

    def tokens(self, parameters: Any) -> jax.Array:
        return self.encode(self.fitted.normaliser.normalise(parameters))

    @property
    def size(self) -> int:
        """k coordinates."""
        return int(self.layout.mask.sum())

    @property
    def rows(self) -> tuple[slice, ...]:
        return (slice(0, self.layout.n_tokens),)

    def split(self, tokens: jax.Array) -> Pieces:
        return (tokens,)

    def join(self, pieces: Pieces) -> jax.Array:
        return pieces[0]

    def cut(self, vector: jax.Array) -> jax.Array:
        """Coordinates [..., k] -> tokens [..., L, C], padded."""
        missing = self.layout.mask.size - vector.shape[-1]
        padded = jnp.pad(vector, [(0, 0)] * (vector.ndim - 1) + [(0, missing)])
        return padded.reshape(*vector.shape[:-1], *self.layout.shape)

    def uncut(self, tokens: Any) -> jax.Array:
        """Tokens [..., L, C] -> coordinates [..., k]."""
        chex.assert_shape(tokens, (..., *self.layout.shape), custom_message="tokens [..., L, C]")
        return tokens.reshape(*tokens.shape[:-2], -1)[..., : self.size]

    def downhill(self, tokens: jax.Array) -> ProbeGradient:
        """Return a step down [B, L, C] as features; directions are normalised per token."""
        n = jnp.asarray(self.layout.mask.sum(axis=1), tokens.dtype)[None, :, None]
        square = jnp.sum(tokens**2, axis=2, keepdims=True) / n
        direction = tokens / jnp.sqrt(square + SMALLEST_SIZE**2)
        return ProbeGradient((direction,), (jnp.arcsinh(tokens / GRADIENT_UNIT),))
