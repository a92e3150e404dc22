"""Representations: parameters <-> tokens, normalisation, and the symmetries of networks."""

from __future__ import annotations

from mole_jax.core.errors import UserError
from mole_jax.representation.codec import Codec
from mole_jax.tasks.networks import Network

NAMES = ("neuron", "chunk", "flat")


def build(name: str, network: Network, *, chunk_size: int, one_basis: bool = False) -> Codec:
    """The codec that `config.representation` names.

    With `one_basis` the units of all networks stand in one order, so that each token has a place.

    Raises:
        UserError: for an unknown name or a chunk size below 1.
    """
    from mole_jax.representation import chunk, flat, neuron

    if name == "neuron":
        return neuron.build(network, one_basis)
    if name == "chunk":
        if chunk_size < 1:
            raise UserError(f"representation.chunk_size={chunk_size} must be 1 or more")
        return chunk.build(network, chunk_size)
    if name == "flat":
        return flat.build(network)
    raise UserError(f"representation.name={name!r} is unknown; there are {NAMES}")
