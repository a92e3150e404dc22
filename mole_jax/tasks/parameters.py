"""The flat layout of a network's parameters: nested dict <-> vector of D numbers."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class ParameterField:
    """One tensor of a network: its path, shape and place in the flat vector."""

    path: str  # "hidden_0/kernel"
    shape: tuple[int, ...]
    dtype: str
    offset: int

    # Kept once computed: networks are matched one by one, thousands of them, in NumPy.
    @functools.cached_property
    def size(self) -> int:
        return math.prod(self.shape)

    @functools.cached_property
    def slice(self) -> slice:
        return slice(self.offset, self.offset + self.size)


@dataclasses.dataclass(frozen=True)
class ParameterSpec:
    """The ordered tensors of a network; it is the schema of everything stored about it."""

    fields: tuple[ParameterField, ...]

    @functools.cached_property
    def size(self) -> int:
        """D, the number of parameters."""
        return sum(field.size for field in self.fields)

    def __getitem__(self, path: str) -> ParameterField:
        for field in self.fields:
            if field.path == path:
                return field
        raise KeyError(f"no parameter {path!r}; there are {[f.path for f in self.fields]}")

    def flatten(self, params: Mapping[str, Any]) -> Any:
        """Concatenate the tensors in order; leading batch dimensions are kept.

        Args:
            params: nested dict with leaves [..., *shape], NumPy or JAX.

        Returns:
            Array [..., D] of the leaves' own library.

        Raises:
            ValueError: for a missing tensor or a wrong shape.
        """
        tensors = self.tensors(params)
        pairs, first = list(zip(tensors, self.fields, strict=True)), tensors[0]
        batch = first.shape[: first.ndim - len(self.fields[0].shape)]
        for leaf, field in pairs:
            if leaf.shape != batch + field.shape:
                raise ValueError(
                    f"parameter {field.path!r} has shape {leaf.shape}, "
                    f"expected {batch + field.shape}"
                )
        xp = first.__array_namespace__()
        return xp.concatenate(
            [leaf.reshape((*batch, field.size)) for leaf, field in pairs], axis=-1
        )

    def unflatten(self, flat: Any) -> dict[str, Any]:
        """Invert `flatten`: [..., D] -> nested dict with leaves [..., *shape].

        Raises:
            ValueError: when the last dimension is not D.
        """
        if flat.shape[-1] != self.size:
            raise ValueError(f"a flat vector of {flat.shape[-1]} numbers, expected D = {self.size}")
        batch = flat.shape[:-1]
        return self.nested([flat[..., f.slice].reshape(batch + f.shape) for f in self.fields])

    def tensors(self, params: Mapping[str, Any]) -> list[Any]:
        """Return the leaves of a nested dict, in the spec's order.

        Raises:
            ValueError: for a missing tensor.
        """
        return [_get(params, field.path) for field in self.fields]

    def nested(self, tensors: Sequence[Any]) -> dict[str, Any]:
        """Invert `tensors`: leaves in the spec's order -> nested dict."""
        params: dict[str, Any] = {}
        for field, tensor in zip(self.fields, tensors, strict=True):
            *parents, name = field.path.split("/")
            node = params
            for parent in parents:
                node = node.setdefault(parent, {})
            node[name] = tensor
        return params

    def to_json(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(f) | {"shape": list(f.shape)} for f in self.fields]

    @staticmethod
    def from_json(fields: Sequence[Mapping[str, Any]]) -> ParameterSpec:
        return ParameterSpec(
            tuple(
                ParameterField(f["path"], tuple(f["shape"]), f["dtype"], f["offset"])
                for f in fields
            )
        )

    @staticmethod
    def of(params: Mapping[str, Any]) -> ParameterSpec:
        """Return the spec of a nested dict of arrays (or their abstract shapes), in key order."""
        fields: list[ParameterField] = []
        offset = 0
        for path, leaf in _leaves(params, ""):
            fields.append(ParameterField(path, tuple(leaf.shape), str(leaf.dtype), offset))
            offset += math.prod(leaf.shape)
        return ParameterSpec(tuple(fields))


def _get(params: Mapping[str, Any], path: str) -> Any:
    node: Any = params
    for name in path.split("/"):
        if not isinstance(node, Mapping) or name not in node:
            raise ValueError(f"parameter {path!r} is missing")
        node = node[name]
    return node


def _leaves(params: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in params.items():
        path = f"{prefix}{name}"
        found += _leaves(value, f"{path}/") if isinstance(value, Mapping) else [(path, value)]
    return found
