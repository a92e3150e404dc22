"""A full check of a zoo: every chunk of every array, and their content against zoo.json."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from mole_jax.core.storage.paths import user_path
from mole_jax.zoo.storage.arrays import (
    RUN_FIELDS,
    ArrayLayout,
    DamagedChunkError,
    all_stored,
    layouts,
    open_array,
    read_chunk,
)
from mole_jax.zoo.storage.manifest import FILE, Manifest, read_manifest
from mole_jax.zoo.storage.schema import finite_runs, misplaced, schema_faults


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
    """Return all problems of the zoo at `path`, in the arrays' order; an empty list for none.

    Reads tens of megabytes at a time, and keeps only the table of runs in memory, some 30 bytes a
    run. `progress` makes a bar:
    `progress("verify", total=..., unit="chunks")`, a context manager with `update(n)`.
    Raises UserError when `path` is no zoo, or its zoo.json cannot be understood.
    """
    path = user_path(path)
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
            what = f"holds {array.shape[0]} runs, but {manifest.counted_in} counts {n_runs}"
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
        # Runs whose mark could not be read are not checked against it.
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
    """Yield sound runs and their values [runs, *tail]; add damaged chunks to `problems`."""
    bad_until = 0  # a damaged shard is one problem, not one for each of its chunks
    for start, stop, values in _read_ahead(array, layout, n_runs):
        chunks = range(start // layout.runs_per_chunk, layout.n_chunks(stop))
        to_blame: Iterable[int] = chunks
        if values is not None and all_stored(path, layout, np.array(chunks)):
            yield slice(start, stop), values
            to_blame = ()
        for chunk in to_blame:
            runs = layout.chunk_runs(chunk, n_runs)
            if runs[0] < bad_until:
                continue
            try:
                yield slice(*runs), read_chunk(path, layout, array, chunk, n_runs)
            except DamagedChunkError as error:
                what = f"the {'shard' if error.whole_shard else 'chunk'} {error.reason}"
                problems.append(Problem(layout.name, what, error.file, error.runs))
                bad_until = error.runs[1]
        if bar is not None:
            bar.update(len(chunks))


def _read_ahead(
    array: ts.TensorStore, layout: ArrayLayout, n_runs: int
) -> Iterator[tuple[int, int, np.ndarray | None]]:
    """Yield blocks (first, after last, values), None for unreadable ones; read one block ahead."""
    waiting: deque[tuple[int, int, Any]] = deque()
    for block in [*layout.blocks(n_runs), None]:
        if block is not None:
            waiting.append((*block, array[slice(*block)].read()))
        while len(waiting) > (1 if block else 0):
            start, stop, future = waiting.popleft()
            try:
                values = future.result()
            except ValueError:  # every TensorStore error is one
                values = None
            yield start, stop, values


def _check_finite(
    name: str, runs: slice, values: np.ndarray, finite: np.ndarray
) -> Iterator[Problem]:
    for run in (runs.start + np.flatnonzero(finite[runs] & ~finite_runs(values))).tolist():
        what = "has values that are not finite, but the run is marked finite"
        yield Problem(name, what, None, (run, run + 1))


def _check_table(manifest: Manifest, table: dict[str, np.ma.MaskedArray]) -> Iterator[Problem]:
    """Check the table of runs against zoo.json; fields that could not be read are masked."""
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
    subset, split = table["subset"].filled(-1), table["split"].filled(-1)
    known = np.flatnonzero(
        (subset >= 0) & (subset < len(tasks)) & (split >= 0) & (split < len(names))
    )
    for run in known[misplaced(tasks, names, subset[known], split[known])].tolist():
        task = tasks[subset[run]]
        what = f"is {names[split[run]]!r}, but its task {task.id} is in {task.split!r}"
        yield Problem("runs/split", what, None, (run, run + 1))


def _metadata_problem(path: Path, layout: ArrayLayout, error: ValueError) -> Problem:
    file = f"{layout.name}/zarr.json"
    if not (path / file).is_file():
        return Problem(layout.name, "the array is missing: there is no such file", file)
    message = str(error).split(" [tensorstore_spec")[0]
    reason = message.removeprefix("FAILED_PRECONDITION: ").replace(f"{path.resolve()}/", "")
    return Problem(layout.name, f"the array's metadata is not what {FILE} says: {reason}", file)
