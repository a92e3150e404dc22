"""One token with all parameters of a network, in the order that PyTorch gives them.

For meta-models that cut networks into tokens by themselves, and for exchange with PyTorch: layers
in the order of their use, of each the weight before the bias, linear weights as [out, in] and
convolutions as [out, in, row, column]. What stands outside of all layers, such as a policy's
`log_std`, comes first.
"""

from __future__ import annotations

import re

import numpy as np

from mole_jax.representation.codec import Codec, outputs
from mole_jax.tasks.networks import OUTPUT, Network
from mole_jax.tasks.parameters import ParameterField

# What a layer calls its parameters, in PyTorch's order.
_NAMES = ("kernel", "scale", "bias")


def build(network: Network) -> Codec:
    """The flat codec: L = 1, C = D."""
    order = np.concatenate(
        [_transposed(field) for field in fields(network)], dtype=np.int32, casting="same_kind"
    )
    nothing = np.zeros(1, np.int32)
    return Codec("flat", order[None], nothing, nothing, network.spec.size, outputs(network))


def sizes(network: Network) -> tuple[int, ...]:
    """Parameters of each tensor, in the codec's order."""
    return tuple(field.size for field in fields(network))


def fields(network: Network) -> list[ParameterField]:
    """The tensors of a network in PyTorch's order."""

    def place(field: ParameterField) -> tuple[bool, bool, list[str | int], int]:
        layer, _, name = field.path.rpartition("/")
        numbered = [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", layer)]
        # Names sort as layers are used, but for the last one's.
        which = _NAMES.index(name) if name in _NAMES else len(_NAMES)
        return bool(layer), layer.startswith(OUTPUT), numbered, which

    return sorted(network.spec.fields, key=place)


def _transposed(field: ParameterField) -> np.ndarray:
    """Flat indices of a tensor's entries in the order of PyTorch's layout of it."""
    indices = np.arange(field.offset, field.offset + field.size).reshape(field.shape)
    if indices.ndim == 4:  # a convolution, [row, column, in, out]
        indices = indices.transpose(3, 2, 0, 1)
    else:
        indices = indices.T
    return indices.reshape(-1)
