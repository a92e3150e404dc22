"""State dicts as people save them: wrappers' prefixes, Sequential names, types of weights.

Every importer, and `start=`, reads tensors by name through these functions, so that all of them
take and refuse the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import ml_dtypes  # noqa: F401  teaches NumPy the name bfloat16
import numpy as np

from mole_jax.core.errors import UserError

# What DistributedDataParallel, torch.compile and Lightning put before every name.
PREFIXES = ("module.", "_orig_mod.", "model.")
WEIGHT_DTYPES = ("float16", "bfloat16", "float32", "float64")
_LEAVES = ("weight", "bias")  # of a layer, in PyTorch's order
_SEQUENTIAL = re.compile(r"(?P<module>(?:.*?\.)?)(?P<place>\d+(?:\.\d+)*)\.(?P<leaf>weight|bias)")
_SHOWN = 8  # names in a message

T = TypeVar("T")


def without_prefixes(tensors: Mapping[str, T]) -> dict[str, T]:
    """Take off the names' prefixes of PREFIXES, in any order, where all tensors carry them."""
    found = dict(tensors)
    while found:
        prefix = next((p for p in PREFIXES if all(n.startswith(p) and n != p for n in found)), None)
        if prefix is None:
            break
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def matched(
    tensors: Mapping[str, T], expected: Mapping[str, tuple[int, ...]], where: str
) -> dict[str, T]:
    """Return the tensors under the names that a network gives them, in its order.

    Prefixes are taken off. Names of a Sequential ("0.weight", "net.2.bias") stand for the expected
    ones in the order of their numbers, if there are as many and weights and biases match.

    Args:
        tensors: by name, [..., *shape] with the same leading axes.
        expected: the network's names and shapes, in order.
        where: the tensors' origin; opens every message.

    Raises:
        UserError: for tensors that are missing, too many or of another shape, with what there is
            and what is needed.
    """
    found = without_prefixes(tensors)
    if set(found) != set(expected):
        found = _in_order(found, expected)
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    for problem, names in (("lacks", missing), ("has", extra)):
        if names:
            raise UserError(
                f"{where} {problem} the tensor {names[0]!r}; it has {listed(tensors)}; the "
                f"network needs {listed(expected)}"
            )
    _check_shapes(tensors, found, expected, where)
    return {name: found[name] for name in expected}


def _check_shapes(
    tensors: Mapping[str, Any],
    found: Mapping[str, Any],
    expected: Mapping[str, tuple[int, ...]],
    where: str,
) -> None:
    first = next(iter(expected))
    shape = tuple(found[first].shape)
    batch = shape[: len(shape) - len(expected[first])]
    for name, wanted in expected.items():
        if tuple(found[name].shape) != batch + wanted:
            own = next(own for own, tensor in tensors.items() if tensor is found[name])
            called = name if own == name else f"{own} ({name})"
            raise UserError(
                f"{where}: {called} has shape {list(found[name].shape)}, and the network needs "
                f"{list(batch + wanted)}"
            )


def _in_order(tensors: Mapping[str, T], expected: Iterable[str]) -> dict[str, T]:
    """Return the tensors with those of a Sequential renamed; unchanged if that is uncertain."""
    parts = {name: _SEQUENTIAL.fullmatch(name) for name in tensors}
    unknown = [parts[name] for name in tensors if name not in set(expected)]
    modules = {match and match["module"] for match in unknown}
    if len(modules) != 1 or None in modules:
        return dict(tensors)
    # All of that Sequential, even if a name happens to be an expected one.
    whole = [match for match in parts.values() if match and match["module"] in modules]
    whole.sort(key=lambda match: (_numbers(match["place"]), _LEAVES.index(match["leaf"])))
    ours = [match[0] for match in whole]
    rest = {name: tensor for name, tensor in tensors.items() if name not in ours}
    theirs = [name for name in expected if name not in rest]
    if [name.rpartition(".")[2] for name in theirs] != [match["leaf"] for match in whole]:
        return dict(tensors)
    return rest | {name: tensors[own] for name, own in zip(theirs, ours, strict=True)}


def _numbers(place: str) -> tuple[int, ...]:
    return tuple(map(int, place.split(".")))


def check_weight_dtype(what: str, dtype: Any) -> None:
    """Raise UserError for a type that holds no weights: whole numbers, bools, complex numbers."""
    name = np.dtype(dtype).name
    if name not in WEIGHT_DTYPES:
        raise UserError(
            f"{what} holds numbers of type {name}, which are no weights; save it as float32"
        )


def weights(what: str, array: Any, dtype: Any = np.float32, *, finite: bool = True) -> np.ndarray:
    """Return an array of weights in the given type, which must hold all of them.

    Args:
        what: the tensor; opens every message.
        array: of one of WEIGHT_DTYPES.
        dtype: what they are cast to.
        finite: refuse numbers that are not finite once they are cast.

    Raises:
        UserError: for other types, and NaN or infinity.
    """
    array = np.asarray(array)
    check_weight_dtype(what, array.dtype)
    with np.errstate(over="ignore", under="ignore"):  # an overflow is found below
        found = array.astype(dtype, copy=False)
    if finite and not np.isfinite(found).all():
        raise UserError(
            f"{what} has NaN or infinite numbers (as {found.dtype.name}); save it again without "
            "them"
        )
    return found


def one_network(flat: np.ndarray, where: str, advice: str = "") -> np.ndarray:
    """Return the flat vector [D] of a file that should hold one network.

    Raises:
        UserError: where its tensors have leading axes.
    """
    if flat.ndim == 1:
        return flat
    axes = flat.shape[:-1]
    if max(axes) == 1:
        raise UserError(
            f"{where}: its tensors have a leading axis of 1; take it off (tensor[0]) and save them "
            "again"
        )
    raise UserError(f"{where} holds {' x '.join(map(str, axes))} networks, not one{advice}")


def listed(tensors: Mapping[str, Any]) -> str:
    """Write names, with shapes where they are known, on one line."""

    def shown(name: str, tensor: Any) -> str:
        shape = tensor if isinstance(tensor, tuple) else getattr(tensor, "shape", None)
        return name if shape is None else f"{name} {list(shape)}"

    lines = [shown(name, tensor) for name, tensor in list(tensors.items())[:_SHOWN]]
    more = len(tensors) - len(lines)
    return (", ".join(lines) or "no tensors") + (f" and {more} more" if more > 0 else "")
