"""The section `representation` of a config: how parameters become tokens."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class RepresentationConfig:
    """How a network's parameters become tokens: the section `representation`."""

    name: str = "neuron"  # neuron, chunk, cut, flat, weight, pca or autoencoder
    chunk_size: int = 64  # for chunk and cut: parameters of a token; for pca: coordinates of one
    components: int = 128  # for pca and autoencoder: coordinates of a network
    steps: int = 2000  # for autoencoder: steps of its training
    # Bring all training runs into one basis: units that do the same have the same number.
    align: bool = False
    # How numbers are scaled. tensor: by mean and scale of each tensor; global: by one scale for all
    # parameters, as G.pt has it.
    normaliser: str = "tensor"
