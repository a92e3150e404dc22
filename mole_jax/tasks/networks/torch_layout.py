"""Parameters as PyTorch keeps them: names and order of a `state_dict`, [out, in] and OIHW.

MLPs are modules `fc1`, `fc2`, ...; CNNs `conv1`, (`norm1`), `conv2`, ..., `fc`; the layers of a
policy are `actor.0`, `actor.2`, ... of a Sequential with activations between them, and its
`log_std` comes first. Names and order are those of G.pt's checkpoints (Peebles et al. 2022).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import OUTPUT, POLICIES, Network
from mole_jax.tasks.networks.policy import LOG_STD

_AXES = {2: (1, 0), 4: (3, 2, 0, 1)}  # [in, out] -> [out, in]; HWIO -> OIHW
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
        """MOLE's flat vectors [..., D] -> PyTorch's [..., D]."""
        return flat[..., self.order]

    def from_torch(self, flat: np.ndarray) -> np.ndarray:
        """PyTorch's flat vectors [..., D] -> MOLE's [..., D]."""
        return flat[..., self._inverse]

    def state_dict(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """MOLE's flat vectors [..., D] -> tensors [..., *shape] by name."""
        ends = np.cumsum(self.sizes)[:-1]
        parts = np.split(self.to_torch(flat), ends, axis=-1)
        return {
            tensor.name: np.ascontiguousarray(part.reshape(*flat.shape[:-1], *tensor.shape))
            for tensor, part in zip(self.tensors, parts, strict=True)
        }

    def from_state_dict(self, tensors: Mapping[str, Any], where: str) -> np.ndarray:
        """The inverse: tensors [..., *shape] by name -> MOLE's flat vectors [..., D].

        Args:
            tensors: NumPy arrays, with the same leading dimensions.
            where: they are from; opens every message.

        Raises:
            UserError: for tensors that are missing, too many, or of another shape.
        """
        names = {tensor.name for tensor in self.tensors}
        for problem, found in (("lacks", names - set(tensors)), ("has", set(tensors) - names)):
            if found:
                what = self.network.name
                raise UserError(
                    f"{where} {problem} the tensor {sorted(found)[0]!r}; the state_dict of this "
                    f"{what} is {', '.join(f'{t.name} {list(t.shape)}' for t in self.tensors)}"
                )
        first = tensors[self.tensors[0].name]
        batch = first.shape[: first.ndim - len(self.tensors[0].shape)]
        parts = []
        for tensor in self.tensors:
            array = np.asarray(tensors[tensor.name])
            if array.shape != batch + tensor.shape:
                raise UserError(
                    f"{where}: {tensor.name} has shape {list(array.shape)}, and the network needs "
                    f"{list(batch + tensor.shape)}"
                )
            parts.append(array.reshape(*batch, -1))
        return self.from_torch(np.concatenate(parts, axis=-1))


def layout(network: Network) -> TorchLayout:
    """How a network's parameters lie in PyTorch.

    Raises:
        UserError: for a vision transformer.
    """
    if network.name == "vit":
        raise UserError(
            "a vit has no PyTorch layout here: MOLE knows those of mlp, cnn and the policies"
        )
    tensors = []
    for module, ours in _modules(network).items():
        for leaf, theirs in _PARAMETERS.items():
            if f"{ours}/{leaf}" in network.axes:
                tensors.append(_tensor(network, f"{module}.{theirs}", f"{ours}/{leaf}"))
    if LOG_STD in network.axes:
        tensors.insert(0, _tensor(network, LOG_STD, LOG_STD))
    return TorchLayout(network, tuple(tensors))


def _modules(network: Network) -> dict[str, str]:
    """PyTorch's module -> MOLE's, in the order of the state_dict."""
    layers = sum(path.startswith(("hidden_", "conv_")) and path.endswith("/kernel")
                 for path in network.axes)  # fmt: skip
    if network.name == "cnn":
        found: dict[str, str] = {}
        for i in range(layers):
            found |= {f"conv{i + 1}": f"conv_{i}", f"norm{i + 1}": f"norm_{i}"}
        return found | {"fc": OUTPUT}
    names = [f"hidden_{i}" for i in range(layers)] + [OUTPUT]
    if network.name in POLICIES:  # every other module of the Sequential is an activation
        return {f"actor.{2 * i}": name for i, name in enumerate(names)}
    return {f"fc{i + 1}": name for i, name in enumerate(names)}


def _tensor(network: Network, name: str, path: str) -> TorchTensor:
    shape = network.spec[path].shape
    axes = _AXES.get(len(shape), (0,))
    return TorchTensor(name, path, tuple(shape[axis] for axis in axes), axes)
