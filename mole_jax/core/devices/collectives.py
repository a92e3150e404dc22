"""What devices send to one another in a compiled program, read from its text.

With the usual ring algorithms, each device of a group of n sends, for a result of R bytes:

    all-gather, all-to-all   R (n - 1) / n
    all-reduce               2 R (n - 1) / n
    reduce-scatter           R (n - 1)
    collective-permute       R

CPU compilers keep an all-reduce even if each device uses only a part of its result; accelerator
compilers make it a reduce-scatter. CPU compilers also exchange float32 where bfloat16 is asked for.
Both are counted as on accelerators.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_OP = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
_NAME = re.compile(r"%([\w.\-]+)")
_ARRAY = re.compile(r"\b(pred|[subf]\w*?(\d+)\w*|c64|c128)\[([\d,]*)\]")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_IOTA = r"\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?"
_GROUPS = re.compile(
    rf"replica_groups=(?:{_IOTA}|\{{(\{{[\d,{{}}]*\}})?\}}|mesh\[([^\]]*)\]"
    r"(?:, device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))? \{([^}]*)\})"
)
_PAIRS = re.compile(r"source_target_pairs=\{(.*?)\}\}")
_LABEL = re.compile(r'op_name="([^"]*)"')
_BITS = re.compile(r"\d+")


@dataclasses.dataclass(frozen=True, eq=False)
class Collective:
    """One instruction by which devices exchange data."""

    kind: str
    result: float  # bytes on each device, each time
    times: int  # how often the program runs it
    groups: np.ndarray  # [groups, n] devices that exchange with one another
    label: str  # where in the traced program it comes from

    @property
    def sent(self) -> float:
        """Bytes that each device sends, in all."""
        n = self.groups.shape[1]
        share = {
            "all-reduce": 2 * (n - 1) / n,
            "reduce-scatter": n - 1.0,
            "collective-permute": 1.0,
        }.get(self.kind, (n - 1) / n)
        return self.times * self.result * share

    def seconds(self, link: float, linked: int, network: float) -> float:
        """Return the seconds that it takes at full rates.

        Args:
            link: bytes per second that a device sends to those linked with it.
            linked: how many consecutive devices are linked.
            network: bytes per second that a device sends beyond them. Linked devices of one group
                share the traffic that leaves them.
        """
        machines = self.groups // linked
        if (machines == machines[:, :1]).all():
            return self.sent / link
        together = min(np.unique(row, return_counts=True)[1].min() for row in machines)
        return self.sent / min(link, together * network)


def read(text: str, n_devices: int) -> list[Collective]:
    """List the collectives of an optimised HLO module, loops counted as often as they run.

    Args:
        text: of the module, as jax.stages.Compiled.as_text gives it.
        n_devices: of the mesh.

    Raises:
        ValueError: for a collective in a loop whose number of iterations the text does not give.
    """
    program, entry = _parse(text)
    found: list[Collective] = []

    def walk(name: str, times: int | None) -> None:
        for op in program[name].values():
            base = op.code.removesuffix("-start")
            if base in KINDS:
                if times is None:
                    raise ValueError(f"{op.name} is in a loop that runs an unknown number of times")
                found.extend(_collectives(base, op, program, name, times, n_devices))
            elif op.code == "while":
                trips = _TRIPS.search(op.rest)
                inner = None if trips is None or times is None else times * int(trips[1])
                walk(op.called("body")[0], inner)
            elif op.code in ("call", "conditional", "async-start"):
                for name_ in op.called(
                    "to_apply", "calls", "true_computation", "false_computation"
                ):
                    walk(name_, times)
                if branches := _BRANCHES.search(op.rest):
                    for name_ in _NAME.findall(branches[1]):
                        walk(name_, times)

    walk(entry, 1)
    return [c for c in found if c.groups.shape[1] > 1]


class _Op(NamedTuple):
    """An instruction."""

    name: str
    shape: str
    code: str
    arguments: str
    rest: str  # all that follows

    @property
    def operands(self) -> list[str]:
        return _NAME.findall(self.arguments)

    @property
    def sizes(self) -> list[float]:
        """Bytes of each array of the result."""
        return [_bytes(array) for array in _ARRAY.finditer(self.shape)]

    def called(self, *attributes: str) -> list[str]:
        """Return names of computations."""
        pattern = rf"\b(?:{'|'.join(attributes)})=%?([\w.\-]+)"
        return re.findall(pattern, self.rest)


_Program = dict[str, dict[str, _Op]]


def _parse(text: str) -> tuple[_Program, str]:
    """Return instructions by computation and by name, and which computation is the entry."""
    program: _Program = {}
    entry, ops = "", None
    for line in text.splitlines():
        if ops is None:
            if match := _HEAD.match(line):
                ops = program[match[2]] = {}
                entry = match[2] if match[1] else entry
        elif line.startswith("}"):
            ops = None
        elif match := _OP.match(line):
            arguments, _, rest = match[4].partition(")")
            ops[match[1]] = _Op(match[1], match[2], match[3], arguments, rest)
    return program, entry


def _collectives(
    kind: str, op: _Op, program: _Program, where: str, times: int, n_devices: int
) -> Iterator[Collective]:
    """Yield the collectives of one instruction, as accelerators would run it."""
    sizes, groups = op.sizes, _groups(op.rest, n_devices)
    if op.code.endswith("-start") and kind in ("all-gather", "collective-permute"):
        sizes = sizes[len(sizes) // 2 :]  # operands come first, then results
    label = _LABEL.search(op.rest)
    found = dict.fromkeys((kind, "reduce-scatter"), 0.0)
    for i, size in enumerate(sizes):
        results = _results(program, where, op, i, len(sizes))
        if _all_used(program, where, results, _narrowed, ("dynamic-slice",)):
            size /= 2
        if kind == "all-reduce" and _all_used(program, where, results, _sliced, ("convert",)):
            found["reduce-scatter"] += size / groups.shape[1]
        else:
            found[kind] += size
    for each, size in found.items():
        if size:
            yield Collective(each, size, times, groups, label[1] if label else "")


def _results(program: _Program, where: str, op: _Op, index: int, n: int) -> list[str]:
    """Return the names by which one array of an instruction's result is used."""
    if n == 1:
        return [op.name]
    return [
        other.name
        for other in program[where].values()
        if other.code == "get-tuple-element"
        and other.operands == [op.name]
        and re.match(rf", index={index}\b", other.rest)
    ]


def _sliced(op: _Op, name: str) -> bool:
    """Return whether an instruction takes each device's part of the array `name`."""
    return op.code == "dynamic-slice" and op.operands[0] == name


def _narrowed(op: _Op, name: str) -> bool:
    return op.code == "convert" and op.shape.startswith("bf16") and op.operands == [name]


def _all_used(
    program: _Program,
    where: str,
    names: list[str],
    wanted: Callable[[_Op, str], bool],
    passing: tuple[str, ...],
    outside: Callable[[], bool] = lambda: False,
) -> bool:
    """Return whether every use of some arrays is as wanted, maybe after changes of layout.

    Args:
        program: all computations.
        where: the computation that the names belong to.
        names: of the arrays.
        wanted: whether an instruction and the name of its operand are as wanted.
        passing: other instructions that may come before.
        outside: the answer for the uses of `where`'s own result.
    """
    for name in names:
        uses = [op for op in program[where].values() if name in op.operands]
        if not uses and not outside():
            return False
        for op in uses:
            if wanted(op, name):
                continue

            def after(op: _Op = op) -> bool:
                return _all_used(program, where, [op.name], wanted, passing, outside)

            if op.code in ("bitcast", "copy", "reshape", "transpose", *passing):
                fine = op.operands[0] == name and after()
            elif op.code == "fusion" and not op.shape.startswith("("):
                (inner,) = op.called("calls")
                place = str(op.operands.index(name))
                inside = [
                    p.name
                    for p in program[inner].values()
                    if p.code == "parameter" and p.arguments == place
                ]
                fine = _all_used(program, inner, inside, wanted, passing, after)
            else:
                fine = False
            if not fine:
                return False
    return bool(names)


def _bytes(array: re.Match[str]) -> float:
    bits = {"pred": 8, "c64": 64, "c128": 128}.get(array[1]) or int(array[2])
    return math.prod(int(n) for n in array[3].split(",") if n) * bits / 8


def _groups(line: str, n_devices: int) -> np.ndarray:
    if match := _PAIRS.search(line):
        pairs = np.array([int(n) for n in _BITS.findall(match[1])]).reshape(-1, 2)
        moved = pairs[pairs[:, 0] != pairs[:, 1]]
        return moved if len(moved) else np.zeros((1, 1), int)
    match = _GROUPS.search(line)
    if match is None:
        return np.arange(n_devices)[None]
    shape, dims, order, listed, mesh, ids, ids_order, over = match.groups()
    if shape:
        return _iota(dims, order).reshape(_numbers(shape))
    if mesh is not None:
        named = re.findall(r"'([^']*)'=(\d+)", mesh)
        devices = _iota(ids, ids_order) if ids else np.arange(n_devices)
        devices = devices.reshape([int(size) for _, size in named])
        axes = [name for name, _ in named]
        chosen = [axes.index(name) for name in re.findall(r"'([^']*)'", over)]
        others = [i for i in range(len(axes)) if i not in chosen]
        n = math.prod(devices.shape[i] for i in chosen)
        return devices.transpose(*others, *chosen).reshape(-1, n)
    if listed:
        return np.array([_numbers(group) for group in re.findall(r"\{([\d,]+)\}", listed)])
    return np.arange(n_devices)[None]


def _iota(dims: str, order: str | None) -> np.ndarray:
    shape = _numbers(dims)
    ids = np.arange(math.prod(shape)).reshape(shape)
    return ids.transpose(_numbers(order)).reshape(-1) if order else ids.reshape(-1)


def _numbers(text: str) -> list[int]:
    return [int(n) for n in text.split(",") if n]
