"""Reading a zoo: every read is checked against its checksums, and absent chunks are errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from mole_jax.core.errors import UserError
from mole_jax.core.storage.paths import user_path
from mole_jax.zoo.storage.arrays import (
    RUN_FIELDS,
    ArrayLayout,
    DamagedChunkError,
    all_stored,
    layouts,
    open_array,
    read_chunk,
    touched_chunks,
)
from mole_jax.zoo.storage.manifest import read_manifest
from mole_jax.zoo.storage.schema import ZooSchema

_CACHE_BYTES = 64 * 2**20  # for small reads: shards' indices, most of all


@dataclass(frozen=True)
class Zoo:
    """An opened zoo. `runs` holds one array [run] a field, strings decoded; arrays read on demand.

    The fields are subset, split, member, seed, finite, optimizer, learning_rate, weight_decay and
    init_scale; an imported zoo lacks unknown hyperparameters.
    """

    path: Path
    schema: ZooSchema
    n_runs: int
    created: str
    runs: Mapping[str, np.ndarray]
    _arrays: Mapping[str, ts.TensorStore]

    @property
    def steps(self) -> np.ndarray:
        """The optimizer step of each snapshot, [snapshot] int32.

        Positions 0..S-1 where every run has steps of its own: see `snapshot_field`.
        """
        return np.array(self.schema.steps, np.int32)

    def names(self, run_indices: Any = None) -> list[str]:
        """Return the given runs' names in the source of an import, or else their row numbers."""
        runs = _indices("run", run_indices, self.n_runs)
        if not self.schema.run_names:
            return [f"{run:06d}" for run in runs.tolist()]
        return [self.schema.run_names[member] for member in self.runs["member"][runs].tolist()]

    def select(
        self,
        split: str | None = None,
        finite: bool | None = None,
        subset: int | None = None,
    ) -> np.ndarray:
        """Return the indices [n] of the runs with all the given properties, in stored order."""
        keep = np.ones(self.n_runs, bool)
        for name, value in (("split", split), ("finite", finite), ("subset", subset)):
            if value is not None:
                keep &= self.runs[name] == value
        return np.flatnonzero(keep)

    def parameters(self, run_indices: Any = None, snapshots: Any = None) -> np.ndarray:
        """Return parameters [run, snapshot, D] of the given runs and snapshots; all without them.

        Snapshots are positions, and may count from the end (`[0, -1]`: first and last). A chunk
        holds all snapshots of its runs, so asking for few saves memory rather than time. Numbers
        of 16 bits come as float32, because NumPy would add them up in 16 bits.
        Raises IndexError for runs or snapshots that are not there, UserError for damaged data.
        """
        return self._read("parameters", run_indices, snapshots)

    def blocks(self, run_indices: Any = None) -> Iterator[np.ndarray]:
        """Yield parameters [run, snapshot, D] of the given runs in order, tens of megabytes each.

        The runs must increase. Raises IndexError and UserError as `parameters` does.
        """
        runs = _indices("run", run_indices, self.n_runs)
        if (np.diff(runs) <= 0).any():
            raise IndexError("run indices must increase to be read in blocks")
        for start, stop in layouts(self.schema)["parameters"].blocks(self.n_runs):
            part = runs[slice(*np.searchsorted(runs, (start, stop)))]
            if part.size:
                yield self.parameters(part)

    def points(self, run_indices: Any = None) -> Callable[[Any, Any], np.ndarray]:
        """Return a function (runs [n], snapshots [n]) -> parameters [n, D], for many small reads.

        It may be called from several threads, for the given runs (by default all), while nobody
        changes the zoo: what it needs to know of the files is read now. Indices count from 0 and
        are not checked. Raises UserError for damaged data, as the function does.
        """
        runs = _indices("run", run_indices, self.n_runs)
        layout = layouts(self.schema)["parameters"]
        array = open_array(self.path, layout, cache_bytes=_CACHE_BYTES)
        if not all_stored(self.path, layout, touched_chunks(layout, runs)):
            raise _blamed(self.path, layout, array, runs, self.n_runs, None)
        if array.dtype.name != _computable(layout.dtype):
            array = ts.cast(array, _computable(layout.dtype))

        def read(runs: np.ndarray, snapshots: np.ndarray) -> np.ndarray:
            try:
                return array.vindex[runs, snapshots].read().result()
            except ValueError as error:  # every TensorStore error is one
                plain = self._arrays["parameters"]
                raise _blamed(self.path, layout, plain, runs, self.n_runs, error) from error

        return read

    def metric(self, name: str, run_indices: Any = None) -> np.ndarray:
        """Return one metric [run, snapshot] of the given runs; all without them.

        Raises KeyError for a metric the zoo lacks, IndexError for runs that are not there,
        UserError for damaged data.
        """
        if name not in self.schema.metrics:
            raise KeyError(
                f"no metric {name!r} in the zoo; it has {', '.join(self.schema.metrics)}"
            )
        return self._read(f"metrics/{name}", run_indices)

    def snapshot_field(self, name: str, run_indices: Any = None) -> np.ndarray:
        """Return a field of whole numbers [run, snapshot] of snapshots, such as "iteration".

        Raises KeyError for a field the zoo lacks, else as `metric` does.
        """
        if name not in self.schema.snapshot_fields:
            raise KeyError(
                f"no snapshot field {name!r} in the zoo; it has "
                f"{', '.join(self.schema.snapshot_fields) or 'none'}"
            )
        return self._read(f"snapshots/{name}", run_indices)

    def _read(self, name: str, run_indices: Any, snapshots: Any = None) -> np.ndarray:
        runs = _indices("run", run_indices, self.n_runs)
        layout, array = layouts(self.schema)[name], self._arrays[name]
        keep = None if snapshots is None else _indices("snapshot", snapshots, layout.tail[0])
        if runs.size == 0:
            empty = np.empty((0, *layout.tail), _computable(layout.dtype))
            return empty if keep is None else empty[:, keep]
        return _read_checked(self.path, layout, array, runs, keep, self.n_runs)


def open_zoo(path: str | Path) -> Zoo:
    """Open the zoo at `path` and read its table of runs.

    Raises UserError when `path` is missing, is no zoo, is of another version, or is damaged in
    zoo.json, in an array's metadata or in the table of runs.
    """
    path = user_path(path)
    manifest = read_manifest(path)
    arrays, runs = {}, {}
    for name, layout in layouts(manifest.schema).items():
        try:
            arrays[name] = open_array(path, layout)
        except ValueError as error:
            raise UserError(
                f"the array {name} of the zoo at {path} is missing or damaged; {_mend(path)}"
            ) from error
        if arrays[name].shape[0] < manifest.n_runs:
            raise UserError(
                f"the array {name} of the zoo at {path} holds {arrays[name].shape[0]} of "
                f"{manifest.n_runs} runs; {_mend(path)}"
            )
    everything = np.arange(manifest.n_runs)
    found = layouts(manifest.schema)
    for field in (name for name in RUN_FIELDS if f"runs/{name}" in found):
        name = f"runs/{field}"
        layout = found[name]
        if manifest.n_runs == 0:
            values = np.empty(0, layout.dtype)
        else:
            values = _read_checked(path, layout, arrays[name], everything, None, manifest.n_runs)
        if field in manifest.codes:
            table = np.array(manifest.codes[field])
            if ((values < 0) | (values >= len(table))).any():
                raise UserError(f"{name} of the zoo at {path} has unknown codes; {_mend(path)}")
            values = table[values.astype(np.intp)]
        runs[field] = values
    return Zoo(path, manifest.schema, manifest.n_runs, manifest.created, runs, arrays)


def _read_checked(
    path: Path,
    layout: ArrayLayout,
    array: ts.TensorStore,
    runs: np.ndarray,
    snapshots: np.ndarray | None,
    n_runs: int,
) -> np.ndarray:
    """Read runs [n, ...] in one go; only if that fails, look for the chunk to blame."""
    failure = None
    if all_stored(path, layout, touched_chunks(layout, runs)):
        first, last = int(runs[0]), int(runs[-1])
        consecutive = runs.size == last - first + 1 and bool((np.diff(runs) == 1).all())
        view = array[first : last + 1] if consecutive else array.oindex[runs]
        if snapshots is not None:
            view = view.oindex[:, snapshots]
        if view.dtype.name != _computable(layout.dtype):
            view = ts.cast(view, _computable(layout.dtype))
        try:
            return view.read().result()
        except ValueError as error:  # every TensorStore error is one
            failure = error
    raise _blamed(path, layout, array, runs, n_runs, failure)


def _blamed(
    path: Path,
    layout: ArrayLayout,
    array: ts.TensorStore,
    runs: np.ndarray,
    n_runs: int,
    failure: Exception | None,
) -> UserError:
    """Return the error that names the first damaged chunk of some runs that cannot be read."""
    try:
        for chunk in touched_chunks(layout, runs).tolist():
            read_chunk(path, layout, array, chunk, n_runs)
    except DamagedChunkError as error:
        return UserError(f"the zoo at {path} is damaged: {error}; {_mend(path)}")
    # Chunk by chunk all is well: damage that has gone, or something that is not damage.
    return UserError(f"{layout.name} of the zoo at {path} could not be read: {failure}; try again")


def _computable(dtype: str) -> str:
    return "float32" if dtype in ("bfloat16", "float16") else dtype


def _indices(what: str, given: Any, size: int) -> np.ndarray:
    if given is None:
        return np.arange(size)
    indices = np.atleast_1d(np.asarray(given))
    if indices.size == 0:
        return np.empty(0, np.intp)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise IndexError(
            f"{what} indices must be a list of integers, not {indices.dtype} of shape "
            f"{indices.shape}"
        )
    outside = indices[(indices < -size) | (indices >= size)]
    if outside.size:
        raise IndexError(f"{what} {outside[0]} is not in the zoo, which has {size} {what}s")
    return np.where(indices < 0, indices + size, indices).astype(np.intp)


def _mend(path: Path) -> str:
    return f"`python -m mole_jax.zoo verify {path}` lists all damage; make the zoo again"
