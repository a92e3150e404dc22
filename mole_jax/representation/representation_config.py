"""The section `representation` of a config: how parameters become tokens."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class RepresentationConfig:
    """The section `representation`."""

    name: str = "neuron"  # or chunk, flat, pca
    chunk_size: int = 64  # for chunk: parameters of a token; for pca: coordinates of a token
    components: int = 128  # for pca: coordinates of a network, fewer than its parameters
    # tensor: mean and scale of each tensor; global: one scale for all parameters, as G.pt has it
    normaliser: str = "tensor"
