"""A full check of a zoo: every chunk of every array, and what they say against zoo.json."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from mole_jax.zoo.arrays import (
    RUN_FIELDS,
    ArrayLayout,
    DamagedChunkError,
    layouts,
    open_array,
    read_chunk,
)
from mole_jax.zoo.manifest import FILE, Manifest, read_manifest
from mole_jax.zoo.schema import allowed_splits, schema_faults


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a zoo; its text is one line for a person."""

    where: str  # an array's name, or "zoo.json"
    what: str
    file: str | None = None  # relative to the zoo
    runs: tuple[int, int] | None = None  # [first, after last)

    def __str__(self) -> str:
        where = self.where
        if self.runs is not None:
            where += f", runs {self.runs[0]}..{self.runs[1] - 1}"
        if self.file is not None:
            where += f" ({self.file})"
        return f"{where}: {self.what}"


def verify(
    path: str | Path, progress: Callable[..., AbstractContextManager[Any]] | None = None
) -> list[Problem]:
    """All that is wrong with the zoo at `path`, in the arrays' order; an empty list if nothing is.

    Reads one chunk at a time, and keeps only the table of runs in memory. `progress` makes a bar:
    `progress("verify", total=..., unit="chunks")`, a context manager with `update(n)`.
    Raises UserError when `path` is no zoo, or its zoo.json cannot be understood.
    """
    path = Path(path)
    manifest = read_manifest(path)
    schema, n_runs = manifest.schema, manifest.n_runs
    problems = [Problem(FILE, fault) for fault in schema_faults(schema)]

    opened: dict[str, tuple[ArrayLayout, ts.TensorStore]] = {}
    for name, layout in layouts(schema).items():
        try:
            array = open_array(path, layout)
        except ValueError as error:
            problems.append(_metadata_problem(path, layout, error))
            continue
        if array.shape[0] < n_runs:
            what = f"holds {array.shape[0]} runs, but {FILE} counts {n_runs}"
            problems.append(Problem(name, what, f"{name}/zarr.json"))
        else:
            opened[name] = (layout, array)

    total = sum(layout.n_chunks(n_runs) for layout, _ in opened.values())
    context = progress("verify", total=total, unit="chunks") if progress else nullcontext()
    with context as bar:

        def chunks(name: str) -> Iterator[tuple[slice, np.ndarray]]:
            layout, array = opened[name]
            return _sound_chunks(path, layout, array, n_runs, problems, bar)

        # The table of runs comes first: what the other arrays may hold depends on it.
        table: dict[str, np.ma.MaskedArray] = {}
        for field in RUN_FIELDS:
            if f"runs/{field}" in opened:
                table[field] = np.ma.masked_all(n_runs, RUN_FIELDS[field][0])
                for runs, values in chunks(f"runs/{field}"):
                    table[field][runs] = values
        # Runs whose mark could not be read are not held to it.
        finite = table["finite"].filled(False) if "finite" in table else np.zeros(n_runs, bool)
        for name in opened:
            if not name.startswith("runs/"):
                for runs, values in chunks(name):
                    problems += _check_finite(name, runs, values, finite)
    return problems + list(_check_table(manifest, table))


def _sound_chunks(
    path: Path,
    layout: ArrayLayout,
    array: ts.TensorStore,
    n_runs: int,
    problems: list[Problem],
    bar: Any,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Each sound chunk's runs and values [runs, *tail]; of the others adds to `problems`."""
    bad_until = 0  # a damaged shard is one problem, not one for each of its chunks
    for chunk in range(layout.n_chunks(n_runs)):
        start, stop = layout.chunk_runs(chunk, n_runs)
        if start >= bad_until:
            try:
                yield slice(start, stop), read_chunk(path, layout, array, chunk, n_runs)
            except DamagedChunkError as error:
                what = f"the {'shard' if error.whole_shard else 'chunk'} {error.reason}"
                problems.append(Problem(layout.name, what, error.file, error.runs))
                bad_until = error.runs[1]
        if bar is not None:
            bar.update(1)


def _check_finite(
    name: str, runs: slice, values: np.ndarray, finite: np.ndarray
) -> Iterator[Problem]:
    sound = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))  # [runs]
    for run in (runs.start + np.flatnonzero(finite[runs] & ~sound)).tolist():
        what = "has values that are not finite, but the run is marked finite"
        yield Problem(name, what, None, (run, run + 1))


def _check_table(manifest: Manifest, table: dict[str, np.ma.MaskedArray]) -> Iterator[Problem]:
    """Whether the table of runs agrees with zoo.json; fields that could not be read are masked."""
    tasks = manifest.schema.tasks
    limits = {name: len(codes) for name, codes in manifest.codes.items()} | {"subset": len(tasks)}
    what_is = {"subset": "task index", "split": "split code", "optimizer": "optimizer code"}
    for name, limit in limits.items():
        column = table.get(name, np.ma.masked_all(0, np.int64))
        for run in np.flatnonzero(((column < 0) | (column >= limit)).filled(False)).tolist():
            what = f"unknown {what_is[name]} {column[run]}; {FILE} lists {limit}"
            yield Problem(f"runs/{name}", what, None, (run, run + 1))
    for name in ("learning_rate", "weight_decay", "init_scale"):
        column = table.get(name, np.ma.masked_all(0, np.float32))
        bad = ~np.isfinite(column.data) & ~np.ma.getmaskarray(column)
        for run in np.flatnonzero(bad).tolist():
            yield Problem(f"runs/{name}", "is not finite", None, (run, run + 1))
    if "subset" not in table or "split" not in table:
        return
    names = manifest.codes["split"]
    # A masked entry, one that could not be read, becomes -1: no task and no split.
    for run, (subset, split) in enumerate(
        zip(table["subset"].filled(-1).tolist(), table["split"].filled(-1).tolist(), strict=True)
    ):
        if not (0 <= subset < len(tasks) and 0 <= split < len(names)):
            continue
        if names[split] not in allowed_splits(tasks[subset]):
            what = f"is {names[split]!r}, but its task {tasks[subset].id} is in "
            yield Problem("runs/split", f"{what}{tasks[subset].split!r}", None, (run, run + 1))


def _metadata_problem(path: Path, layout: ArrayLayout, error: ValueError) -> Problem:
    file = f"{layout.name}/zarr.json"
    if not (path / file).is_file():
        return Problem(layout.name, "the array is missing: there is no such file", file)
    message = str(error).split(" [tensorstore_spec")[0]
    reason = message.removeprefix("FAILED_PRECONDITION: ").replace(f"{path.resolve()}/", "")
    return Problem(layout.name, f"the array's metadata is not what {FILE} says: {reason}", file)
