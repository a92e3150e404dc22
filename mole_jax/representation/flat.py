"""One token with all parameters of a network, in the order that PyTorch gives them.

For meta-models that tokenise networks themselves, and for exchange with PyTorch; see
`tasks/networks/torch_layout.py` for the order.
"""

from __future__ import annotations

import numpy as np

from mole_jax.representation.codec import Codec
from mole_jax.tasks.networks import Network
from mole_jax.tasks.networks.torch_layout import axes, fields
from mole_jax.tasks.parameters import ParameterField


def build(network: Network) -> Codec:
    """Return the flat codec: L = 1, C = D."""
    nothing = np.zeros(1, np.int32)
    spec = network.spec
    return Codec(
        "flat", order(network)[None], nothing, nothing, ("network",), spec, network.output_of
    )


def order(network: Network) -> np.ndarray:
    """Return flat indices of all parameters in PyTorch's order: [D]."""
    return np.concatenate(
        [_indices(field) for field in fields(network)], dtype=np.int32, casting="same_kind"
    )


def sizes(network: Network) -> tuple[int, ...]:
    """Return the number of parameters of each tensor, in the codec's order."""
    return tuple(field.size for field in fields(network))


def _indices(field: ParameterField) -> np.ndarray:
    """Return the flat indices of a tensor's entries, in the order of its PyTorch layout."""
    indices = np.arange(field.offset, field.offset + field.size).reshape(field.shape)
    return indices.transpose(axes(field)).reshape(-1)
