"""The section `representation` of a config: how parameters become tokens."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class RepresentationConfig:
    """How a network's parameters become tokens: the section `representation`."""

    name: str = "neuron"  # neuron, chunk, cut, flat, weight, pca or autoencoder
    chunk_size: int = 64  # for chunk and cut: parameters per token; for pca: coordinates per token
    components: int = 128  # for pca and autoencoder: coordinates per network
    steps: int = 2000  # for autoencoder: training steps
    # Bring all training runs into one basis: units that do the same get the same index.
    align: bool = False
    # How parameters are scaled. tensor: by the mean and scale of each tensor; global: by one scale
    # for all parameters, as in G.pt.
    normaliser: str = "tensor"
