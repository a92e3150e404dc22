"""The seam between networks and tokens: what a meta-model knows of a network's parameters.

Meta-models see tokens [..., L, C] and the layout that says what they are; how many parameters there
are, and where, they need not know. Who runs the networks again and again does so on pieces of
tokens, of which tensors are made without moving every number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, Self

import jax

from mole_jax.representation.codec import Layout
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.views import Pieces

# Gradients are in nats for each unit of normalised parameters. Up to this size they count in
# proportion, above it logarithmically.
GRADIENT_UNIT = 0.01
# Directions are gradients over their root mean square, but no less than this: near a minimum
# the quotient would be noise, and its derivative unbounded.
SMALLEST_SIZE = 3e-3


class ProbeGradient(NamedTuple):
    """Where a gradient points, downhill: in tokens, or in their pieces."""

    direction: Any  # [B, L, C] each group of channels (a tensor, say) of order 1
    magnitude: Any  # [B, L, C] compressed: linear up to GRADIENT_UNIT


class Representation(Protocol):
    """Tokens of networks: a pytree whose leaves are what was fitted, all else static.

    Zoo arrays on device are normalised already: `encode` takes these, `tokens` the parameters of a
    network as it runs.
    """

    @property
    def layout(self) -> Layout:
        """What the tokens are."""

    @property
    def change(self) -> jax.Array:
        """How far later snapshots are from the first, root mean square: [L, C]."""

    def check(self) -> None:
        """Assert, while a function is traced, that what was fitted is of the network."""

    def with_fitted(self, fitted: Fitted) -> Self:
        """Return the same representation, fitted otherwise: no function compiles again for it."""

    def encode(self, normalised: Any) -> jax.Array:
        """Normalised parameters [..., D] -> tokens [..., L, C]."""

    def denormalise(self, normalised: Any) -> jax.Array:
        """Normalised parameters [..., D] -> parameters [..., D]; nothing is lost."""

    def tokens(self, parameters: Any) -> jax.Array:
        """Parameters [..., D] -> tokens [..., L, C]."""

    def parameters(self, tokens: Any) -> jax.Array:
        """Tokens [..., L, C] -> parameters [..., D]."""

    @property
    def rows(self) -> tuple[slice, ...]:
        """Which tokens each piece is of."""

    def split(self, tokens: jax.Array) -> Pieces:
        """Take tokens [B, L, C] apart, into pieces [B, tokens, channels]."""

    def join(self, pieces: Pieces) -> jax.Array:
        """Put pieces together again."""

    def network(self, pieces: Pieces) -> dict[str, Any]:
        """Return the parameters as networks take them, leaves [B, *shape]."""

    def pull_back(self, gradient: Mapping[str, Any], pieces: Pieces) -> ProbeGradient:
        """Bring a loss' gradient with respect to `network(pieces)` to pieces, downhill."""
