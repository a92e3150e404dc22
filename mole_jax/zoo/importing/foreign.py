"""Runs that were trained elsewhere: what the runs of a data set share, and what sets one apart."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.zoo.storage.schema import OPTIMIZERS

EPOCH, ITERATION = "epoch", "iteration"  # snapshot fields
LARGEST = 2**31 - 1  # they are stored as int32
FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # what a metric must be called in a zoo
_LARGEST_METRIC = float(np.finfo(np.float32).max)  # meta-models read them as float32
# The last part of a name, such as that of "optim::lr", and what a zoo calls it.
_HYPERPARAMETERS = {
    "lr": "learning_rate",
    "learning_rate": "learning_rate",
    "wd": "weight_decay",
    "weight_decay": "weight_decay",
    "optimizer": "optimizer",
}
_ACTIVATIONS = ("nlin", "activation", "nonlinearity")

Progress = Callable[..., AbstractContextManager[Any]]
T = TypeVar("T")


class UnusableRunError(Exception):
    """A run that cannot be used; the message says why."""


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """A run of a data set; `problem` says why it cannot be used, as far as a scan shows."""

    name: str
    folder: str
    problem: str | None = None


@dataclasses.dataclass(frozen=True)
class DataSet:
    """What all usable runs of a data set share."""

    path: Path
    runs: tuple[StoredRun, ...]
    n_snapshots: int
    metrics: tuple[str, ...]
    fields: tuple[str, ...]  # whole numbers that each snapshot has, such as its iteration
    iterations: tuple[int, ...] | None  # of every run's snapshots; None where runs differ
    hyperparameters: tuple[str, ...] = ()  # columns of the zoo that every run has
    details: tuple[Mapping[str, Any], ...] = ()  # all that is known of each run's training
    notes: tuple[str, ...] = ()  # what is left out of every run, for a person

    @property
    def usable(self) -> list[int]:
        """Positions of the runs in which the scan shows nothing wrong."""
        return [i for i, run in enumerate(self.runs) if run.problem is None]


@dataclasses.dataclass(frozen=True)
class StoredHistory:
    """One run, as it was read."""

    parameters: np.ndarray  # [S, D] float32, in MOLE's order
    snapshots: Sequence[str]  # what each is called
    metrics: Mapping[str, Any]  # name -> [S]
    fields: Mapping[str, Any]  # name -> [S] int
    hyperparameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Scanned:
    """What a scan finds of one run."""

    name: str
    folder: str = ""
    iterations: tuple[int, ...] = ()  # of its snapshots, in order
    numbers: frozenset[str] = frozenset()  # columns that have a number at each snapshot
    columns: frozenset[str] = frozenset()  # all of them
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    problem: str | None = None


def agreed(
    path: Path, found: Sequence[Scanned], wanted: str = "", notes: Iterable[str] = ()
) -> DataSet:
    """Return the data set of scanned runs: the majority decides on snapshots and metrics.

    A metric is kept when half of the runs, or more, have a number for it at each snapshot; the
    other runs are then left out, and named.

    Args:
        path: the data set.
        found: its runs.
        wanted: a metric that is kept where any run has it.
        notes: what else is left out.

    Raises:
        UserError: when no run can be used.
    """
    sizes = Counter(len(run.iterations) for run in found if run.problem is None)
    if not sizes:
        raise UserError(
            f"{path}: none of its {len(found)} runs can be used; {found[0].name} "
            f"{found[0].problem}; repair the runs"
        )
    n_snapshots = sizes.most_common(1)[0][0]
    alike = [r for r in found if r.problem is None and len(r.iterations) == n_snapshots]
    counts = Counter(name for run in alike for name in run.numbers)
    metrics = {n for n, count in counts.items() if 2 * count >= len(alike) or n == wanted}
    runs = tuple(
        StoredRun(run.name, run.folder, run.problem or _unlike(run, n_snapshots, metrics))
        for run in found
    )
    usable = [run for run, stored in zip(found, runs, strict=True) if stored.problem is None]
    if not usable:
        raise UserError(
            f"{path}: none of its {len(found)} runs can be used; {runs[0].name} "
            f"{runs[0].problem}; repair the runs"
        )
    iterations = {run.iterations for run in usable}
    known = [set(hyperparameters(run.details)) for run in usable]
    dropped = sorted({name for run in alike for name in run.columns} - metrics)
    if dropped:
        text = "columns without a number at each snapshot of most runs are left out: "
        notes = [*notes, text + ", ".join(dropped)]
    return DataSet(
        path,
        runs,
        n_snapshots,
        tuple(sorted(metrics)),
        (ITERATION,),
        iterations.pop() if len(iterations) == 1 else None,
        tuple(sorted(set.intersection(*known))),
        tuple(run.details for run in found) if any(run.details for run in found) else (),
        tuple(notes),
    )


def _unlike(run: Scanned, n_snapshots: int, metrics: set[str]) -> str | None:
    n = len(run.iterations)
    if n != n_snapshots:
        return f"has {n} snapshots with metrics, and most runs have {n_snapshots}"
    missing = sorted(metrics - run.numbers)
    if missing:
        return f"has no finite {missing[0]} at some snapshot"
    return None


def hyperparameters(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters that a zoo has columns for, where each has one value."""
    values: dict[str, set[Any]] = {}
    for name, value in _leaves(details):
        kind = _HYPERPARAMETERS.get(_last(name))
        if kind == "optimizer" and isinstance(value, str) and value.lower() in OPTIMIZERS:
            values.setdefault(kind, set()).add(value.lower())
        elif kind is not None and kind != "optimizer" and is_finite(value):
            values.setdefault(kind, set()).add(float(value))
    return {kind: value.pop() for kind, value in values.items() if len(value) == 1}


def check_activation(details: Mapping[str, Any], activation: str) -> None:
    """Raise UnusableRunError for a run that says that it has another activation function."""
    for name, value in _leaves(details):
        if _last(name) in _ACTIVATIONS and isinstance(value, str):
            said = re.sub(r"[^a-z]", "", value.lower().rpartition(".")[2])
            if said != activation:
                raise UnusableRunError(
                    f"has {name}={value!r}, and the network that was asked for has {activation}"
                )


def stored_name(name: str) -> str:
    """Return a column's name, with characters replaced that a metric's name cannot have."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip("_.-") or "metric"


def is_finite(value: Any) -> bool:
    """Return whether a value is a number that is finite, in float32, too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value) and abs(value) <= _LARGEST_METRIC
    except OverflowError:  # a whole number beyond all floating-point ones
        return False


def check_folder(path: Path) -> None:
    """Raise UserError where a data set's folder is asked for and there is none."""
    if path.is_file():
        raise UserError(f"{path} is a file; give the folder of a data set")
    if not path.is_dir():
        raise UserError(f"no data set at {path}: there is no such folder; check the path")


def with_progress(items: Sequence[T], progress: Progress | None, unit: str) -> Iterator[T]:
    """Yield items, and count those that are done.

    `progress` makes a bar, as `core.progress.Progress` does.
    """
    if progress is None:
        yield from items
        return
    with progress("scan", total=len(items), unit=unit) as bar:
        for item in items:
            yield item
            bar.update(1)


def one_line(error: Exception) -> str:
    """Write another library's error on one line, for a message."""
    return str(error).replace("\n", " ")


def _leaves(details: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in details.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _last(name: str) -> str:
    return re.split(r"::|[./]", name)[-1].lower()
