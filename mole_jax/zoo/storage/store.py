"""Writing a zoo: arrays first, then one atomic replacement of runs.json that makes them count."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from mole_jax.core.errors import UserError
from mole_jax.core.program import sections
from mole_jax.core.program.config import differing_keys
from mole_jax.core.storage.files import make_folder
from mole_jax.zoo.storage.arrays import create_array, layouts, open_array, stored_runs, write_groups
from mole_jax.zoo.storage.manifest import (
    FILE,
    VERSION,
    Manifest,
    commit,
    read_manifest,
    write_manifest,
)
from mole_jax.zoo.storage.schema import CODES, RunBatch, ZooSchema, batch_columns, schema_faults


class ZooWriter:
    """Appends runs to a zoo on disk; one writer at a time.

    A kill at any moment leaves the zoo as the last finished append made it: rows beyond the
    `n_runs` of runs.json do not count, and the next append writes over them. An append is
    `reserve`, `write` and `commit`, which several processes may share: one reserves and commits,
    each writes rows of its own.
    """

    def __init__(self, path: Path, manifest: Manifest, arrays: dict[str, ts.TensorStore]) -> None:
        self.path = path
        self._manifest = manifest
        self._arrays = arrays

    @classmethod
    def create(cls, path: str | Path, schema: ZooSchema) -> ZooWriter:
        """Make an empty zoo at `path`.

        Raises UserError when there is a zoo already, or runs of one that has lost its zoo.json;
        ValueError when the schema contradicts itself.
        """
        path = Path(path)
        if (path / FILE).exists():
            raise UserError(f"{path} holds a zoo already; give another path")
        faults = schema_faults(schema)
        if faults:
            raise ValueError(f"the schema contradicts itself: {'; '.join(faults)}")
        if orphans := [name for name in layouts(schema) if stored_runs(path, name)]:
            raise UserError(
                f"{path} has no {FILE}, but its array {orphans[0]} holds runs: restore that file, "
                "or give another path"
            )
        make_folder(path)
        write_groups(path, schema)
        arrays = {name: create_array(path, layout) for name, layout in layouts(schema).items()}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = Manifest(schema=schema, n_runs=0, created=created, codes=CODES)
        commit(path, 0)
        write_manifest(path, manifest)  # last: from here on it is a zoo
        return cls(path, manifest, arrays)

    @classmethod
    def open(cls, path: str | Path, schema: ZooSchema | None = None) -> ZooWriter:
        """Open a zoo to append to it.

        Raises UserError when `path` is no zoo or a damaged one, and, where `schema` is given, when
        the zoo's differs in anything but provenance.
        """
        path = Path(path)
        manifest = read_manifest(path)
        if schema is not None:
            differing = differences(manifest.schema, schema)
            if differing:
                raise UserError(
                    f"the zoo at {path} was made with another config: {'; '.join(differing)}; "
                    "put them back, or make another zoo"
                )
        if manifest.version != VERSION:
            raise UserError(
                f"the zoo at {path} is of version {manifest.version}, and this MOLE appends to "
                f"version {VERSION}; append with the MOLE that made it, or make another zoo"
            )
        if manifest.codes != CODES:
            raise UserError(
                f"the zoo at {path} has other code tables than this MOLE writes; "
                "append with the MOLE that made it, or make another zoo"
            )
        arrays = {}
        for name, layout in layouts(manifest.schema).items():
            try:
                arrays[name] = open_array(path, layout, write=True)
            except ValueError as error:
                raise UserError(
                    f"the array {name} of the zoo at {path} is missing or damaged; "
                    f"`python -m mole_jax.zoo verify {path}` says more"
                ) from error
            if arrays[name].shape[0] < manifest.n_runs:
                raise UserError(
                    f"the array {name} of the zoo at {path} holds {arrays[name].shape[0]} runs of "
                    f"{manifest.n_runs}; the zoo is damaged, make it again"
                )
        return cls(path, manifest, arrays)

    @property
    def schema(self) -> ZooSchema:
        """The schema of the zoo on disk."""
        return self._manifest.schema

    @property
    def n_runs(self) -> int:
        """How many runs are committed."""
        return self._manifest.n_runs

    def append(self, batch: RunBatch) -> None:
        """Store the runs of a batch after those already there; all of them or, if killed, none.

        Parameters [R, S, D], metrics [R, S], the rest [R]; any R. Appends that fill whole shards
        are the cheapest: a shard begun earlier is read and written again.
        Raises ValueError when the batch does not fit the schema; nothing is written then.
        """
        columns = batch_columns(self.schema, batch)
        start = self.n_runs
        stop = start + len(columns["runs/subset"])
        if stop == start:
            return
        self.reserve(stop)
        self._write(start, columns)
        self.commit(stop)

    def reserve(self, n_runs: int) -> None:
        """Make every array `n_runs` long; rows that are not committed may be lost."""
        for name, array in self._arrays.items():
            if array.shape[0] != n_runs:
                self._arrays[name] = array.resize(exclusive_max=[n_runs, *array.shape[1:]]).result()

    def write(self, start: int, batch: RunBatch) -> None:
        """Store the runs of a batch from row `start` on; they count once they are committed.

        Raises ValueError when the batch does not fit the schema; nothing is written then.
        """
        self._write(start, batch_columns(self.schema, batch))

    def _write(self, start: int, columns: dict[str, np.ndarray]) -> None:
        # All data is on disk (the file driver syncs) before runs.json counts it. Each file is
        # replaced whole, so a kill in between does not touch the committed runs of a shard.
        stop = start + len(columns["runs/subset"])
        commits = []
        try:
            for name, column in columns.items():
                # The transaction makes a shard one write, rather than one for each of its chunks.
                transaction = ts.Transaction()
                array = self._arrays[name].with_transaction(transaction)
                array[start:stop].write(column).result()
                commits.append(transaction.commit_async())
        finally:
            # All arrays at once, since a disk takes longer to sync than to write a small file; and
            # nothing may still be writing when this returns, even after a failure.
            failures = [problem for problem in map(_failure, commits) if problem is not None]
        if failures:
            raise failures[0]

    def commit(self, n_runs: int) -> None:
        """Make the first `n_runs` runs count; all of them must be written."""
        commit(self.path, n_runs)
        self._manifest = replace(self._manifest, n_runs=n_runs)

    def note(self, name: str, value: Any) -> None:
        """Store a fact with the zoo's provenance."""
        provenance = {**self.schema.provenance, name: value}
        manifest = replace(self._manifest, schema=replace(self.schema, provenance=provenance))
        write_manifest(self.path, manifest)
        self._manifest = manifest


def _failure(write: ts.Future) -> Exception | None:
    """Wait for a write, and return what went wrong."""
    try:
        write.result()
    except ValueError as problem:  # every TensorStore error is one
        return problem
    return None


def differences(stored: ZooSchema, given: ZooSchema) -> list[str]:
    """Return lines such as "storage.dtype: float32 -> float16" for all but the provenance."""
    from mole_jax.population.population_config import SECTIONS  # starts JAX

    old, new = stored.to_json(), given.to_json()
    # Older zoos also keep keys of networks and sources that they do not use.
    for schema in (old, new):
        schema["config"] = sections.relevant(schema["config"], SECTIONS)
        described = sections.relevant({"network": schema["network"]}, SECTIONS)
        schema["network"] = described["network"]
    # Dates and machines may change when a run is resumed.
    del old["provenance"], new["provenance"]
    lines = differing_keys(old, new)
    # For a parameter spec or a task table the name says enough.
    return [f"{line.split(':')[0]} differs" if len(line) > 80 else line for line in lines]
