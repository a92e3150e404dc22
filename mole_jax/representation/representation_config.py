"""The section `representation` of a config: how parameters become tokens."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class RepresentationConfig:
    """The section `representation`."""

    name: str = "neuron"  # or chunk, flat
    chunk_size: int = 64  # for chunk
    # tensor: mean and scale of each tensor; global: one scale for all parameters, as G.pt has it
    normaliser: str = "tensor"
