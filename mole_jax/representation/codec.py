"""The seam between flat parameters and tokens.

A codec is a table: which parameter sits in which channel of which token. Tensors are rectangles of
it. Decoding averages the copies of a parameter that occurs in several tokens; both ways are exact.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.representation import views
from mole_jax.representation.views import TensorViews
from mole_jax.tasks.parameters import ParameterSpec


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Static facts about the tokens of a network, by which a meta-model distinguishes them."""

    kinds: tuple[str, ...]  # names: tokens of one kind mean the same
    kind: np.ndarray  # [L] int32: index into `kinds`
    position: np.ndarray  # [L] int32: place in its kind; 0 for all where order means nothing
    output: np.ndarray  # [L, C] int32: the one network output a channel belongs to, or -1
    mask: np.ndarray  # [L, C] bool: False in the padding
    # [L, L] int32: the kind of edge between two tokens, 0 for none; None: attention sees no edges.
    edges: np.ndarray | None = None

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
    spec: ParameterSpec  # of the network, D parameters
    output: np.ndarray  # [D] int32: the one network output a parameter belongs to, or -1
    edges: np.ndarray | None = None  # as in Layout

    @functools.cached_property
    def layout(self) -> Layout:
        """What a meta-model knows of the tokens."""
        output = np.where(self.mask, self.output[np.maximum(self.table, 0)], -1)
        return Layout(self.kinds, self.kind, self.position, output, self.mask, self.edges)

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

    @property
    def size(self) -> int:
        """D."""
        return self.spec.size

    @functools.cached_property
    def views(self) -> TensorViews:
        """Where tensors stand in the tokens."""
        return views.find(self.table, self.spec)

    def encode(self, flat: Any) -> Any:
        """Parameters [..., D] -> tokens [..., L, C], zero in the padding."""
        chex.assert_axis_dimension(flat, -1, self.size, custom_message="flat [..., D]")
        return self.write(self.spec.unflatten(jnp.asarray(flat)))

    def decode(self, tokens: Any) -> Any:
        """Tokens [..., L, C] -> parameters [..., D]; copies of a parameter are averaged."""
        chex.assert_shape(tokens, (..., *self.table.shape), custom_message="tokens [..., L, C]")
        return self.spec.flatten(self.read(jnp.asarray(tokens)))

    def write(self, params: Mapping[str, Any]) -> jax.Array:
        """Nested dict of tensors [..., *shape] -> tokens [..., L, C]."""
        return views.join(self.views, views.pieces(self.views, self.spec.tensors(params)))

    def read(self, tokens: jax.Array) -> dict[str, Any]:
        """Tokens [..., L, C] -> nested dict of tensors [..., *shape]."""
        return self.spec.nested(views.tensors(self.views, views.split(self.views, tokens)))


def table(rows: Sequence[np.ndarray], width: int) -> np.ndarray:
    """Flat indices of each token's channels -> [L, width] int32, padded with -1."""
    padded = np.full((len(rows), width), -1, np.int32)
    for token, row in enumerate(rows):
        padded[token, : len(row)] = row
    return padded
