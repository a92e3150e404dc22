"""Append foreign runs to a zoo one by one: few in memory, resumable, with skips counted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from mole_jax.core.storage.files import read_json, write_json
from mole_jax.zoo.storage.schema import RunBatch
from mole_jax.zoo.storage.store import ZooWriter

SKIPPED = "skipped.json"
# The largest size of a file: a whole shard is in memory while it is written.
SHARD_BYTES = 64 * 2**20
LONGEST_SHARD = 256  # runs

Source = TypeVar("Source")


@dataclasses.dataclass(frozen=True)
class Skip:
    """A run that was left out."""

    position: int  # among the runs of the source
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


@dataclasses.dataclass(frozen=True)
class Incoming(Generic[Source]):
    """Where runs come from.

    read: position and source -> a batch of one run, or why the run is left out.
    """

    sources: Sequence[Source]
    name: Callable[[Source], str]
    read: Callable[[int, Source], RunBatch | str]


def runs_per_shard(run_bytes: int) -> int:
    """Return how many runs of this size a file of the zoo holds."""
    return max(1, min(LONGEST_SHARD, SHARD_BYTES // max(run_bytes, 1)))


def ingest_runs(
    incoming: Incoming[Any],
    writer: ZooWriter,
    first: int,
    done: Callable[[int, list[Skip]], None],
) -> list[Skip]:
    """Append the runs of `incoming` from position `first` on; return all skips, earlier ones too.

    Shards are written whole, and a kill leaves those already written. The list of skips is written
    before later runs count, so none is lost.

    Args:
        incoming: the runs.
        writer: the zoo.
        first: the position after the last run that the zoo has.
        done: called after each append with the number of positions it took, and those skipped.
    """
    skips = [skip for skip in read_skips(writer.path) if skip.position < first]
    known, start = len(skips), first
    waiting: list[RunBatch] = []

    def flush(stop: int) -> None:
        nonlocal known, start
        if len(skips) != known:
            _write_skips(writer.path, skips)
        if waiting:
            batch = concatenated(waiting)
            waiting.clear()  # first, since writing takes memory, too
            writer.append(batch)
        done(stop - start, skips[known:])
        known, start = len(skips), stop

    size = writer.schema.runs_per_shard
    for position in range(first, len(incoming.sources)):
        source = incoming.sources[position]
        found = incoming.read(position, source)
        if isinstance(found, str):
            skips.append(Skip(position, incoming.name(source), found))
        else:
            waiting.append(found)
        # To the end of the shard that an interrupted import has begun, then shard by shard.
        if waiting and (writer.n_runs + len(waiting)) % size == 0:
            flush(position + 1)
    flush(len(incoming.sources))
    return skips


def concatenated(batches: Sequence[RunBatch]) -> RunBatch:
    """Join several batches of the same zoo."""

    def joined(field: str) -> np.ndarray:
        return np.concatenate([np.asarray(getattr(batch, field)) for batch in batches])

    def joined_all(field: str) -> dict[str, np.ndarray]:
        names = getattr(batches[0], field)
        return {
            name: np.concatenate([np.asarray(getattr(batch, field)[name]) for batch in batches])
            for name in names
        }

    return RunBatch(
        parameters=joined("parameters"),
        metrics=joined_all("metrics"),
        subset=joined("subset"),
        split=joined("split"),
        member=joined("member"),
        seed=joined("seed"),
        finite=joined("finite"),
        hyperparameters=joined_all("hyperparameters"),
        snapshots=joined_all("snapshots"),
    )


def read_skips(path: str | Path) -> list[Skip]:
    """Return the runs that were left out of the zoo at `path`; none where it lists none."""
    file = Path(path) / SKIPPED
    if not file.exists():
        return []
    return [Skip(**entry) for entry in read_json(file)["skipped"]]


def _write_skips(path: Path, skips: Iterable[Skip]) -> None:
    write_json(path / SKIPPED, {"skipped": [dataclasses.asdict(skip) for skip in skips]})


def counted(skips: Sequence[Skip], most: int = 10) -> Iterator[str]:
    """Yield lines for a person: how many runs were left out, which, and why."""
    if skips:
        yield f"{len(skips)} run{'s' * (len(skips) != 1)} left out:"
        yield from (f"  {skip}" for skip in skips[:most])
    if len(skips) > most:
        yield f"  ... and {len(skips) - most} more"


def run_bytes(n_snapshots: int, size: int, dtype: str) -> int:
    """Return the bytes of one run's parameters."""
    return math.prod((n_snapshots, size)) * np.dtype(dtype).itemsize
