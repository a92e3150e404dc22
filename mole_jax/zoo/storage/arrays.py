"""How a zoo's arrays lie on disk: sharded Zarr v3 along the run axis, through TensorStore.

One shard is one file. It holds chunks of whole runs, each with its own crc32c, and ends with an
index of (offset, bytes) pairs with a crc32c of its own. Zarr silently reads an absent shard or
chunk as the fill value; a zoo always writes every chunk, so here absence is damage.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from mole_jax.core.storage.files import read_json, write_json
from mole_jax.zoo.storage.schema import HYPERPARAMETERS, ZooSchema

_ABSENT = np.uint64(2**64 - 1)  # both numbers of an index entry whose chunk was never written
_CHECKSUM_BYTES = 4
BLOCK_BYTES = 32 * 2**20  # of an array in memory at once, where it is read from end to end

# Fill values are ones that a stored run never has, where the type has such a value.
RUN_FIELDS: dict[str, tuple[str, Any]] = {
    "subset": ("int32", -1),
    "split": ("int8", -1),
    "member": ("int32", -1),
    "seed": ("int64", -1),
    "finite": ("bool", False),
    "optimizer": ("int8", -1),
    "learning_rate": ("float32", "NaN"),
    "weight_decay": ("float32", "NaN"),
    "init_scale": ("float32", "NaN"),
}


@dataclass(frozen=True)
class ArrayLayout:
    """Name, axes and chunks of one array [run, *tail]."""

    name: str  # its folder in the zoo: "parameters", "metrics/train_loss", "runs/seed"
    tail: tuple[int, ...]
    dtype: str
    fill: Any
    dimensions: tuple[str, ...]
    runs_per_shard: int
    runs_per_chunk: int

    def shard_file(self, shard: int) -> str:
        """Return the shard's file, relative to the zoo."""
        return "/".join([self.name, "c", str(shard), *("0" for _ in self.tail)])

    def shard_runs(self, shard: int, n_runs: int) -> tuple[int, int]:
        """Return the runs [first, after last) of a shard of a zoo of `n_runs`."""
        start = shard * self.runs_per_shard
        return start, min(start + self.runs_per_shard, n_runs)

    def chunk_runs(self, chunk: int, n_runs: int) -> tuple[int, int]:
        """Return the runs [first, after last) of a chunk of a zoo of `n_runs`."""
        start = chunk * self.runs_per_chunk
        return start, min(start + self.runs_per_chunk, n_runs)

    def n_chunks(self, n_runs: int) -> int:
        """Return how many chunks hold `n_runs` runs."""
        return -(-n_runs // self.runs_per_chunk)

    def run_bytes(self) -> int:
        """Return the bytes of one run in memory."""
        return math.prod(self.tail) * np.dtype(self.dtype).itemsize

    def blocks(self, n_runs: int, most_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, int]]:
        """Return ranges [first, after last) of whole chunks that cover `n_runs` runs, in order.

        Each lies in one shard and takes `most_bytes` at most, or is one chunk.
        """
        chunks = max(1, most_bytes // (self.runs_per_chunk * self.run_bytes()))
        size = min(chunks * self.runs_per_chunk, self.runs_per_shard)
        for first in range(0, n_runs, self.runs_per_shard):
            last = min(first + self.runs_per_shard, n_runs)
            for start in range(first, last, size):
                yield start, min(start + size, last)


class DamagedChunkError(Exception):
    """A stored chunk, or a whole shard, is absent or fails its checksum."""

    def __init__(
        self, layout: ArrayLayout, file: str, runs: tuple[int, int], reason: str, whole_shard: bool
    ) -> None:
        what = "shard" if whole_shard else "chunk"
        super().__init__(
            f"{layout.name}: the {what} of runs {runs[0]}..{runs[1] - 1} in {file} {reason}"
        )
        self.layout = layout
        self.file = file
        self.runs = runs
        self.reason = reason
        self.whole_shard = whole_shard


def layouts(schema: ZooSchema) -> dict[str, ArrayLayout]:
    """Return the layout of every array of a zoo, by name."""
    shard, chunk = schema.runs_per_shard, schema.runs_per_chunk
    s = len(schema.steps)
    axes = ("run", "snapshot", "parameter")
    found = [
        ArrayLayout("parameters", (s, schema.spec.size), schema.dtype, "NaN", axes, shard, chunk)
    ]
    for name in schema.metrics:
        dtype = schema.metric_dtype
        found.append(ArrayLayout(f"metrics/{name}", (s,), dtype, "NaN", axes[:2], shard, chunk))
    for name in schema.snapshot_fields:
        found.append(ArrayLayout(f"snapshots/{name}", (s,), "int32", -1, axes[:2], shard, chunk))
    for name, (dtype, fill) in RUN_FIELDS.items():
        if name in HYPERPARAMETERS and name not in schema.hyperparameters:
            continue
        # A few bytes a run: with more than one chunk a shard, the index would outweigh the data.
        found.append(ArrayLayout(f"runs/{name}", (), dtype, fill, axes[:1], shard, shard))
    return {layout.name: layout for layout in found}


def write_groups(root: Path, schema: ZooSchema) -> None:
    """Write the Zarr group nodes, so that any Zarr reader can open the zoo as a group."""
    folders = [root, root / "metrics", root / "runs"]
    if schema.snapshot_fields:
        folders.append(root / "snapshots")
    for folder in folders:
        group: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        if folder == root:
            group["attributes"] = {"format": "mole-zoo", "manifest": "zoo.json"}
        write_json(folder / "zarr.json", group)


def stored_runs(root: Path, name: str) -> int:
    """Return how many rows an array on disk has, 0 where there is none."""
    path = root / name / "zarr.json"
    return int(read_json(path)["shape"][0]) if path.exists() else 0


def create_array(root: Path, layout: ArrayLayout) -> ts.TensorStore:
    """Create an array of no runs, in place of what an earlier, unfinished creation left."""
    return ts.open(_spec(root, layout, shape=0), create=True, delete_existing=True).result()


def open_array(
    root: Path, layout: ArrayLayout, *, write: bool = False, cache_bytes: int = 0
) -> ts.TensorStore:
    """Open an array; raise ValueError if it is missing or is not laid out as `layout` says.

    With `cache_bytes`, recently read chunks and shards' indices stay in memory, and files are
    assumed not to change.
    """
    options: dict[str, Any] = {}
    if cache_bytes:
        options["context"] = ts.Context({"cache_pool": {"total_bytes_limit": cache_bytes}})
        options["spec"] = {"recheck_cached_data": "open"}
    spec = _spec(root, layout) | options.pop("spec", {})
    return ts.open(spec, open=True, read=True, write=write, **options).result()


def stored_chunks(root: Path, layout: ArrayLayout, shard: int) -> np.ndarray | None:
    """Read from a shard's index which chunks it holds, [chunks of a shard] bool; None without one.

    The index's own checksum is not verified here: reading any chunk through TensorStore does that.
    """
    n_chunks = layout.runs_per_shard // layout.runs_per_chunk
    index_bytes = 16 * n_chunks + _CHECKSUM_BYTES
    file = root / layout.shard_file(shard)
    try:
        with file.open("rb") as stream:
            stream.seek(0, 2)
            if stream.tell() < index_bytes:
                return None
            stream.seek(-index_bytes, 2)
            index = stream.read(16 * n_chunks)
    except FileNotFoundError:
        return None
    entries = np.frombuffer(index, "<u8").reshape(n_chunks, 2)
    return ~(entries == _ABSENT).all(axis=1)


def read_chunk(
    root: Path, layout: ArrayLayout, array: ts.TensorStore, chunk: int, n_runs: int
) -> np.ndarray:
    """Read the runs of one chunk, [runs, *tail]; raise DamagedChunkError if it cannot."""
    start, stop = layout.chunk_runs(chunk, n_runs)
    per_shard = layout.runs_per_shard // layout.runs_per_chunk
    shard = chunk // per_shard
    file = layout.shard_file(shard)

    def damaged(reason: str, whole_shard: bool) -> DamagedChunkError:
        runs = layout.shard_runs(shard, n_runs) if whole_shard else (start, stop)
        return DamagedChunkError(layout, file, runs, reason, whole_shard)

    if not (root / file).is_file():
        raise damaged("is missing: there is no such file", True)
    stored = stored_chunks(root, layout, shard)
    if stored is None:
        raise damaged("is truncated", True)
    try:
        values = array[start:stop].read().result()
    except ValueError as error:  # every TensorStore error is one
        message = str(error).split(" [tensorstore_spec")[0]
        whole_shard = "Error reading shard index" in message
        reason = "cannot be read: " + message.rsplit('": ', 1)[-1]
        if "ZSTD" in message:  # decompression may stumble before the checksum is reached
            reason = "is corrupt: it cannot be decompressed"
        if "Digest mismatch" in message:
            reason = "is corrupt: checksum mismatch" + " in the shard index" * whole_shard
        raise damaged(reason, whole_shard) from error
    # Only now is the index known to be sound, so that its entry for this chunk can be trusted.
    if not stored[chunk % per_shard]:
        raise damaged("is missing from the shard index", False)
    return values


def touched_chunks(layout: ArrayLayout, runs: np.ndarray) -> np.ndarray:
    """Return the chunks that hold the given runs, in order."""
    return np.unique(runs // layout.runs_per_chunk)


def all_stored(root: Path, layout: ArrayLayout, chunks: np.ndarray) -> bool:
    """Return whether shards' indices name all of the given chunks, which are in order."""
    per_shard = layout.runs_per_shard // layout.runs_per_chunk
    shards, firsts = np.unique(chunks // per_shard, return_index=True)
    for shard, part in zip(shards.tolist(), np.split(chunks, firsts[1:]), strict=True):
        stored = stored_chunks(root, layout, shard)
        if stored is None or not stored[part % per_shard].all():
            return False
    return True


def _spec(root: Path, layout: ArrayLayout, shape: int | None = None) -> dict[str, Any]:
    little_endian = {"name": "bytes", "configuration": {"endian": "little"}}
    metadata: dict[str, Any] = {
        "data_type": layout.dtype,
        "fill_value": layout.fill,
        "dimension_names": list(layout.dimensions),
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [layout.runs_per_shard, *layout.tail]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": [layout.runs_per_chunk, *layout.tail],
                    "codecs": [
                        little_endian,
                        {"name": "zstd", "configuration": {"level": 3}},
                        {"name": "crc32c"},
                    ],
                    "index_codecs": [little_endian, {"name": "crc32c"}],
                    "index_location": "end",
                },
            }
        ],
    }
    if shape is not None:
        metadata["shape"] = [shape, *layout.tail]
    return {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{(root / layout.name).resolve()}/"},
        "metadata": metadata,
        # Otherwise a chunk that happens to equal the fill value would look absent.
        "store_data_equal_to_fill_value": True,
    }
