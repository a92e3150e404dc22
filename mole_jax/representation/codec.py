"""The seam between flat parameters and tokens.

A codec is a table: which parameter sits in which channel of which token. Encoding gathers,
decoding averages the copies of a parameter that occurs in several tokens; both are exact.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Static facts about the tokens of a network, by which a meta-model distinguishes them."""

    kinds: tuple[str, ...]  # names: tokens of one kind mean the same
    kind: np.ndarray  # [L] int32, of kinds
    position: np.ndarray  # [L] int32: place in its kind; 0 for all where order means nothing
    output: np.ndarray  # [L, C] int32: the network output a channel belongs to alone, or -1
    mask: np.ndarray  # [L, C] bool: False in the padding
    edges: np.ndarray | None = None  # [L, L] int32, kinds of edges, 0 for none; None: not known

    @property
    def shape(self) -> tuple[int, int]:
        """(L, C)."""
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def n_tokens(self) -> int:
        """L."""
        return self.mask.shape[0]


@dataclasses.dataclass(frozen=True, eq=False)
class Codec:
    """Static facts about tokens, and the maps between [..., D] and [..., L, C]."""

    name: str
    table: np.ndarray  # [L, C] int32: flat index of each channel, -1 for padding
    kind: np.ndarray  # [L] int32: tokens of one kind are interchangeable in meaning
    position: np.ndarray  # [L] int32: place in its kind; 0 for all where order means nothing
    kinds: tuple[str, ...]  # names of the kinds
    size: int  # D
    output: np.ndarray  # [D] int32: the network output a parameter belongs to alone, or -1

    @functools.cached_property
    def layout(self) -> Layout:
        """What a meta-model knows of the tokens."""
        output = np.where(self.mask, self.output[np.maximum(self.table, 0)], -1)
        return Layout(self.kinds, self.kind, self.position, output, self.mask)

    @property
    def n_tokens(self) -> int:
        return self.table.shape[0]

    @property
    def n_channels(self) -> int:
        return self.table.shape[1]

    @property
    def mask(self) -> np.ndarray:  # [L, C] bool
        """True where a channel holds a parameter."""
        return self.table >= 0

    @functools.cached_property
    def copies(self) -> np.ndarray:  # [D, n]
        """Places (token * C + channel) of each parameter's copies, repeated to one width."""
        places: list[list[int]] = [[] for _ in range(self.size)]
        for place, index in enumerate(self.table.reshape(-1)):
            if index >= 0:
                places[index].append(place)
        most = max(map(len, places))
        if min(map(len, places)) == 0:
            raise ValueError("the codec's table leaves out a parameter")
        if any(most % len(p) for p in places):
            raise ValueError("copies must divide evenly, so that their mean is exact")
        return np.array([np.resize(p, most) for p in places], np.int32)

    @functools.cached_property
    def n_copies(self) -> np.ndarray:  # [D] float32
        """In how many places each parameter occurs."""
        indices = self.table[self.mask]
        return np.bincount(indices, minlength=self.size).astype(np.float32)

    def encode(self, flat: Any) -> Any:
        """Parameters [..., D] -> tokens [..., L, C], zero in the padding."""
        chex.assert_axis_dimension(flat, -1, self.size, custom_message="flat [..., D]")
        return _encode(self, jnp.asarray(flat))

    def decode(self, tokens: Any) -> Any:
        """Tokens [..., L, C] -> parameters [..., D]; copies of a parameter are averaged."""
        chex.assert_shape(tokens, (..., *self.table.shape), custom_message="tokens [..., L, C]")
        return _decode(self, jnp.asarray(tokens))


# Encoding and decoding are each other's transpose but for the number of copies. Left to itself, JAX
# would transpose their gathers into scatters, which on CPU take many times as long.
@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _encode(codec: Codec, flat: jax.Array) -> jax.Array:
    tokens = jnp.take(flat, jnp.asarray(np.maximum(codec.table, 0)), axis=-1)
    mask = jnp.broadcast_to(codec.mask, tokens.shape)
    return jnp.where(mask, tokens, jnp.zeros((), tokens.dtype))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _decode(codec: Codec, tokens: jax.Array) -> jax.Array:
    flat = tokens.reshape(*tokens.shape[:-2], codec.table.size)
    return jnp.mean(jnp.take(flat, jnp.asarray(codec.copies), axis=-1), axis=-1)


def _like_flat(n_copies: np.ndarray, flat: jax.Array) -> jax.Array:
    return jnp.broadcast_to(jnp.asarray(n_copies, flat.dtype), flat.shape)


def _encode_transposed(codec: Codec, _: None, tokens: jax.Array) -> tuple[jax.Array]:
    flat = _decode(codec, tokens)
    return (flat * _like_flat(codec.n_copies, flat),)


def _decode_transposed(codec: Codec, _: None, flat: jax.Array) -> tuple[jax.Array]:
    return (_encode(codec, flat / _like_flat(codec.n_copies, flat)),)


_encode.defvjp(lambda codec, flat: (_encode(codec, flat), None), _encode_transposed)
_decode.defvjp(lambda codec, tokens: (_decode(codec, tokens), None), _decode_transposed)


def table(rows: Sequence[np.ndarray], width: int) -> np.ndarray:
    """Flat indices of each token's channels -> [L, width] int32, padded with -1."""
    padded = np.full((len(rows), width), -1, np.int32)
    for token, row in enumerate(rows):
        padded[token, : len(row)] = row
    return padded
