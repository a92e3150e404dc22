"""The seam between networks and tokens: what a meta-model knows of a network's parameters.

Meta-models see tokens [..., L, C] and a layout that says what they are. They need not know how many
parameters there are, or where. Code that runs networks repeatedly works on pieces of tokens, which
become tensors without moving every number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, Self

import jax

from mole_jax.representation.codec import Layout
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.views import Pieces

# Gradients are in nats per unit of normalised parameters: linear up to this size, logarithmic
# above it.
GRADIENT_UNIT = 0.01
# Directions are gradients divided by their root mean square, with this as a floor: near a minimum
# the quotient would be noise, and its derivative unbounded.
SMALLEST_SIZE = 3e-3


class ProbeGradient(NamedTuple):
    """A negative gradient as features of tokens, or of their pieces."""

    direction: Any  # [B, L, C] normalised: each group of channels (such as a tensor) is of order 1
    magnitude: Any  # [B, L, C] compressed: linear up to GRADIENT_UNIT


class Representation(Protocol):
    """Tokens of networks: a pytree whose leaves are what was fitted, all else static.

    `encode` takes normalised parameters, such as the zoo arrays on device; `tokens` takes the
    parameters of a network as it runs.
    """

    @property
    def layout(self) -> Layout:
        """What the tokens are."""

    @property
    def change(self) -> jax.Array:
        """How far later snapshots are from the first, root mean square: [L, C]."""

    def check(self) -> None:
        """Assert, at trace time, that what was fitted has the shapes of the network."""

    def with_fitted(self, fitted: Fitted) -> Self:
        """Return the same representation with other fitted arrays; nothing is recompiled."""

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
        """The tokens that each piece covers."""

    def split(self, tokens: jax.Array) -> Pieces:
        """Split tokens [B, L, C] into pieces [B, tokens, channels]."""

    def join(self, pieces: Pieces) -> jax.Array:
        """Invert `split`."""

    def network(self, pieces: Pieces) -> dict[str, Any]:
        """Return the parameters as networks take them, leaves [B, *shape]."""

    def pull_back(self, gradient: Mapping[str, Any], pieces: Pieces) -> ProbeGradient:
        """Map a loss's gradient with respect to `network(pieces)` to pieces, downhill."""
