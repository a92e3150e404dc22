"""The columns of a matrix of weights: its layout file, matched with a network's tensors.

    layout.json   {"order": "pytorch", "tensors": [{"name": "fc1.weight", "shape": [8, 64]}, ...]}
    layout.csv    varname,start_idx,end_idx,size,shape as the small CNN zoo has it (Unterthiner et
                  al. 2020); the end is not part of the tensor

Tensors follow one another, or say where they begin ("start"). In the order "pytorch" kernels are
[out, in] and OIHW; in "tensorflow" they are [in, out] and HWIO, as MOLE's own ("mole" is the same).
Without an order, the names decide: PyTorch calls a kernel weight, TensorFlow kernel.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import read_json
from mole_jax.tasks.networks.state_dict import matched
from mole_jax.tasks.networks.torch_layout import TorchLayout, fields

FILES = ("layout.json", "layout.csv")
PYTORCH, TENSORFLOW = "pytorch", "tensorflow"
ORDERS = {PYTORCH: PYTORCH, TENSORFLOW: TENSORFLOW, "mole": TENSORFLOW}
_COLUMNS = ("varname", "start_idx", "end_idx", "size", "shape")


@dataclasses.dataclass(frozen=True)
class MatrixLayout:
    """The tensors of a row, in the row's order."""

    file: Path
    order: str  # PYTORCH or TENSORFLOW
    tensors: Mapping[str, np.ndarray]  # name -> the columns that its numbers are in, [*shape]
    size: int  # of a row


def read_layout(folder: Path) -> MatrixLayout:
    """Read the layout file of a folder; raise UserError where it is missing or ambiguous."""
    file = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None:
        raise UserError(
            f"{folder} has no {' or '.join(FILES)}: it is needed to know which tensor a column of "
            "weights.npy belongs to (docs/importing.md shows one)"
        )
    try:
        order, rows = _json(file) if file.suffix == ".json" else ("", _csv(file))
        places = sorted((start, name, shape) for name, shape, start in rows)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file} cannot be understood ({error!r}): a name and a shape are needed for each "
            "tensor (docs/importing.md shows one)"
        ) from error
    tensors: dict[str, np.ndarray] = {}
    end = 0
    for start, name, shape in places:
        if start != end or min(shape, default=1) < 1:
            raise UserError(
                f"{file}: {name} {list(shape)} begins at column {start}, and the tensors before it "
                f"end at {end}; every column must belong to one tensor"
            )
        if name in tensors:
            raise UserError(f"{file}: the tensor {name} is there twice")
        end = start + math.prod(shape)
        tensors[name] = np.arange(start, end).reshape(shape)
    return MatrixLayout(file, order or _order(file, tensors), tensors, end)


def columns(layout: MatrixLayout, torch: TorchLayout) -> np.ndarray:
    """Return the column of each number of MOLE's flat vector: [D].

    Raises:
        UserError: for tensors that are missing, too many or of another shape.
    """
    where = f"{layout.file}, order {layout.order}"
    if layout.order == PYTORCH:
        return torch.arranged(layout.tensors, where)
    expected = {field.path: field.shape for field in fields(torch.network)}
    found = matched(_as_ours(layout.tensors, list(expected)), expected, where)
    return np.concatenate([found[field.path].ravel() for field in torch.network.spec.fields])


def _json(file: Path) -> tuple[str, list[tuple[str, tuple[int, ...], int]]]:
    content = read_json(file)
    order = ""
    if isinstance(content, Mapping):
        order = content.get("order", "")
        if order and order not in ORDERS:
            raise UserError(f"{file}: order {order!r} is unknown; use {', '.join(ORDERS)}")
        content = content["tensors"]
    rows = []
    end = 0
    for entry in content:
        shape = tuple(_whole(n) for n in entry["shape"])
        start = _whole(entry.get("start", end))
        end = start + math.prod(shape)
        rows.append((str(entry["name"]), shape, start))
    return ORDERS.get(order, ""), rows


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _csv(file: Path) -> Iterable[tuple[str, tuple[int, ...], int]]:
    rows = []
    with file.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            name, start, end, size, shape = (row[column] for column in _COLUMNS)
            sizes = tuple(map(int, re.findall(r"\d+", shape)))
            if not math.prod(sizes) == int(size) == int(end) - int(start):
                raise UserError(
                    f"{file}: {name} of shape {shape} has {math.prod(sizes)} numbers, and size is "
                    f"{size}, end_idx - start_idx {int(end) - int(start)}"
                )
            rows.append((name, sizes, int(start)))
    return rows


def _order(file: Path, tensors: Iterable[str]) -> str:
    """Infer the order from names."""
    leaves = {_module_and_leaf(name)[1] for name in tensors}
    if "kernel" in leaves and "weight" not in leaves:
        return TENSORFLOW
    if "weight" in leaves and "kernel" not in leaves:
        return PYTORCH
    raise UserError(
        f'{file} does not say how kernels lie, and neither do the names: add "order": '
        f'"{PYTORCH}" ([out, in], OIHW) or "{TENSORFLOW}" ([in, out], HWIO) to a layout.json'
    )


def _module_and_leaf(name: str) -> tuple[str, str]:
    """Return module and leaf of "sequential/conv2d_1/kernel:0" or "fc1.weight"."""
    module, _, leaf = name.partition(":")[0].replace(".", "/").rpartition("/")
    return module, leaf


def _as_ours(tensors: Mapping[str, np.ndarray], expected: list[str]) -> dict[str, np.ndarray]:
    """Name TensorFlow's tensors as MOLE does, layer by layer in the order of the row.

    Names stay as they are if the match is uncertain: with other layers, or where the numbers of
    "dense", "dense_1", ... contradict the order.
    """
    layers: dict[str, dict[str, str]] = {}  # module -> leaf -> name
    for name in tensors:
        module, leaf = _module_and_leaf(name)
        layers.setdefault(module, {})[leaf] = name
    ours: dict[str, dict[str, str]] = {}
    for path in expected:
        module, leaf = _module_and_leaf(path)
        ours.setdefault(module, {})[leaf] = path
    alike = [set(layer) for layer in layers.values()] == [set(layer) for layer in ours.values()]
    if set(tensors) == set(expected) or not alike or not _increasing(layers):
        return dict(tensors)
    return {
        own[leaf]: tensors[name]
        for theirs, own in zip(layers.values(), ours.values(), strict=True)
        for leaf, name in theirs.items()
    }


def _increasing(modules: Iterable[str]) -> bool:
    """Return whether the numbers of modules of one kind increase; no number comes first."""
    last: dict[str, int] = {}
    for module in modules:
        kind, _, number = module.rpartition("_")
        kind, place = (kind, int(number)) if number.isdecimal() else (module, -1)
        if place <= last.get(kind, -2):
            return False
        last[kind] = place
    return True
