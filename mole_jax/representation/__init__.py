"""Representations: parameters <-> tokens, normalisation, and the symmetries of networks.

A representation is one file and one line of REPRESENTATIONS.
"""

from __future__ import annotations

from collections.abc import Callable

from mole_jax.core.unknown import unknown
from mole_jax.representation import chunk, flat, neuron
from mole_jax.representation.codec import Codec
from mole_jax.tasks.networks import Network

# (network, representation.chunk_size, canonical_order) -> codec
REPRESENTATIONS: dict[str, Callable[[Network, int, bool], Codec]] = {
    "neuron": lambda network, size, canonical_order: neuron.build(network, canonical_order),
    "chunk": lambda network, size, canonical_order: chunk.build(network, size),
    "flat": lambda network, size, canonical_order: flat.build(network),
}
NAMES = tuple(REPRESENTATIONS)


def build(name: str, network: Network, *, chunk_size: int, canonical_order: bool = False) -> Codec:
    """Return the codec that `config.representation` names.

    With `canonical_order` the units of all networks stand in one order, so that each token has a
    place.

    Raises:
        UserError: for an unknown name or a chunk size below 1.
    """
    if name not in REPRESENTATIONS:
        raise unknown("representation.name", name, NAMES)
    return REPRESENTATIONS[name](network, chunk_size, canonical_order)
