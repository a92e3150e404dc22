"""Parameters as PyTorch keeps them: names and order of a `state_dict`, [out, in] and OIHW.

Layers come in the order of their use, each with its weight before its bias; parameters outside of
all layers come first, such as a policy's `log_std`. MLPs are modules `fc1`, `fc2`, ...; CNNs
`conv1`, (`norm1`), `conv2`, ..., `fc`; the layers of a policy are `actor.0`, `actor.2`, ... of a
Sequential with activations between them. Names and order are those of G.pt's checkpoints (Peebles
et al. 2022).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import KINDS, OUTPUT, Network
from mole_jax.tasks.networks.state_dict import matched, weights
from mole_jax.tasks.parameters import ParameterField

# What a layer calls its parameters, in PyTorch's order.
_PARAMETERS = {"kernel": "weight", "scale": "weight", "bias": "bias"}


@dataclasses.dataclass(frozen=True)
class TorchTensor:
    """One tensor of a `state_dict`."""

    name: str  # "fc1.weight"
    path: str  # of the same tensor in MOLE, "hidden_0/kernel"
    shape: tuple[int, ...]
    axes: tuple[int, ...]  # MOLE's axes, in PyTorch's order


@dataclasses.dataclass(frozen=True, eq=False)
class TorchLayout:
    """How one network's parameters lie in PyTorch."""

    network: Network
    tensors: tuple[TorchTensor, ...]  # in the order of the state_dict

    @property
    def sizes(self) -> list[int]:
        """How many numbers each tensor has."""
        return [self.network.spec[tensor.path].size for tensor in self.tensors]

    @functools.cached_property
    def order(self) -> np.ndarray:
        """[D] position in MOLE's flat vector of each number of PyTorch's."""
        place = np.arange(self.network.spec.size)
        parts = []
        for tensor in self.tensors:
            field = self.network.spec[tensor.path]
            parts.append(place[field.slice].reshape(field.shape).transpose(tensor.axes).ravel())
        return np.concatenate(parts)

    @functools.cached_property
    def _inverse(self) -> np.ndarray:
        return np.argsort(self.order)

    def to_torch(self, flat: np.ndarray) -> np.ndarray:
        """Convert MOLE's flat vectors [..., D] to PyTorch's [..., D]."""
        return flat[..., self.order]

    def from_torch(self, flat: np.ndarray) -> np.ndarray:
        """Convert PyTorch's flat vectors [..., D] to MOLE's [..., D]."""
        return flat[..., self._inverse]

    def state_dict(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Convert MOLE's flat vectors [..., D] to tensors [..., *shape] by name."""
        ends = np.cumsum(self.sizes)[:-1]
        parts = np.split(self.to_torch(flat), ends, axis=-1)
        return {
            tensor.name: np.ascontiguousarray(part.reshape(*flat.shape[:-1], *tensor.shape))
            for tensor, part in zip(self.tensors, parts, strict=True)
        }

    def from_state_dict(
        self, tensors: Mapping[str, Any], where: str, dtype: Any = np.float32, finite: bool = True
    ) -> np.ndarray:
        """Invert `to_torch`: tensors [..., *shape] by name -> MOLE's flat vectors [..., D].

        Wrappers' prefixes are taken off, and names of a Sequential are taken in their order: see
        `state_dict.matched`.

        Args:
            tensors: NumPy arrays of floating-point numbers, with the same leading dimensions.
            where: the tensors' origin; opens every message.
            dtype: what the numbers are cast to.
            finite: refuse NaN and infinity, after the cast.

        Raises:
            UserError: for tensors that are missing, too many, of another shape, or no weights.
        """
        found = self._found(tensors, where)
        return self._flat(
            {
                name: weights(f"{where}: {name}", tensor, dtype, finite=finite)
                for name, tensor in found.items()
            }
        )

    def arranged(self, tensors: Mapping[str, Any], where: str) -> np.ndarray:
        """Do as `from_state_dict` for numbers of any type, without a cast."""
        return self._flat(self._found(tensors, where))

    def _found(self, tensors: Mapping[str, Any], where: str) -> dict[str, np.ndarray]:
        """Return the tensors by PyTorch's names, in its order; raise UserError if they misfit."""
        shapes = {tensor.name: tensor.shape for tensor in self.tensors}
        found = matched(tensors, shapes, where)
        return {name: np.asarray(tensor) for name, tensor in found.items()}

    def _flat(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Convert tensors [..., *shape] in PyTorch's order to MOLE's flat vectors [..., D]."""
        parts = []
        for tensor in self.tensors:
            array = tensors[tensor.name]
            batch = array.shape[: array.ndim - len(tensor.shape)]
            parts.append(array.reshape(*batch, -1))
        return self.from_torch(np.concatenate(parts, axis=-1))


def layout(network: Network) -> TorchLayout:
    """Return how a network's parameters lie in PyTorch.

    Raises:
        UserError: for a network without a PyTorch module, such as a vision transformer.
    """
    if network.frame is not None:
        raise UserError(
            f"network.name={network.name!r} has networks of several sizes, and no PyTorch module; "
            "each alone has one: export-network and predict write it"
        )
    if network.kind.torch is None:
        known = ", ".join(name for name, kind in KINDS.items() if kind.torch)
        raise UserError(f"a {network.name} has no PyTorch layout here: MOLE knows those of {known}")
    modules = network.kind.torch.names(network)
    tensors = []
    for field in fields(network):
        layer, _, leaf = field.path.rpartition("/")
        name = f"{modules[layer]}.{_PARAMETERS[leaf]}" if layer else field.path
        order = axes(field)
        shape = tuple(field.shape[i] for i in order)
        if layer == OUTPUT and len(shape) > 2:  # of cells of an image, which PyTorch flattens
            shape = (shape[0], math.prod(shape[1:]))
        tensors.append(TorchTensor(name, field.path, shape, order))
    return TorchLayout(network, tuple(tensors))


def fields(network: Network) -> list[ParameterField]:
    """Return the tensors of any network, also of a vision transformer, in PyTorch's order."""

    def place(field: ParameterField) -> tuple[Any, ...]:
        layer, _, leaf = field.path.rpartition("/")
        # "conv_0" comes before "norm_0", and this before "conv_1"; the alphabetical order of other
        # names is that of their use, except for the last layer's.
        kind, _, number = layer.rpartition("_")
        numbered = (int(number), kind) if number.isdigit() else (0, layer)
        which = list(_PARAMETERS).index(leaf) if leaf in _PARAMETERS else len(_PARAMETERS)
        return bool(layer), layer.startswith(OUTPUT), *numbered, which

    return sorted(network.spec.fields, key=place)


def axes(field: ParameterField) -> tuple[int, ...]:
    """Return MOLE's axes of a tensor in PyTorch's order: outputs come first."""
    n = len(field.shape)
    return (3, 2, 0, 1) if n == 4 else tuple(reversed(range(n)))  # HWIO -> OIHW
