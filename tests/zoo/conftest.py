"""A small made-up zoo: three tasks, shards of 8 runs, chunks of 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mole_jax.tasks.parameters import ParameterField, ParameterSpec
from mole_jax.tasks.subsets import DataSubset
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter

SPLITS = ("train", "S0", "S1")  # of a run, by its subset below


def example_schema(**changes: object) -> ZooSchema:
    fields = (
        ParameterField("output/kernel", (5, 3), "float32", 0),
        ParameterField("output/bias", (3,), "float32", 15),
    )
    facts = {
        "name": "example",
        "spec": ParameterSpec(fields),
        "network": {"kind": "mlp", "sizes": (5, 3)},
        "steps": (0, 10, 40),
        "metrics": ("train_loss", "test_accuracy"),
        "tasks": (
            DataSubset("digits-3of10-0.1.2", (0, 1, 2), "train"),
            DataSubset("digits-3of10-3.4.5", (3, 4, 5), "train"),
            DataSubset("digits-3of10-0.4.5", (0, 4, 5), "S1"),
        ),
        "splits": {"pools": {"train": "sha256:00"}, "S1": ["digits-3of10-0.4.5"]},
        "config": {"population": {"members": 4}, "seed": 0},
        "provenance": {"mole": "0.1.0", "hardware": {"cores": 2}},
        "runs_per_shard": 8,
        "runs_per_chunk": 2,
    }
    return ZooSchema(**(facts | changes))


def example_batch(n_runs: int, seed: int = 0, schema: ZooSchema | None = None) -> RunBatch:
    schema = schema or example_schema()
    rng = np.random.default_rng(seed)
    shape = (n_runs, len(schema.steps))
    subset = rng.integers(0, 3, n_runs)
    return RunBatch(
        parameters=rng.normal(size=(*shape, schema.spec.size)).astype(schema.dtype),
        metrics={name: rng.random(shape).astype(np.float32) for name in schema.metrics},
        subset=subset,
        split=[SPLITS[s] for s in subset],
        member=np.arange(n_runs),
        seed=rng.integers(0, 2**32, n_runs),
        finite=np.ones(n_runs, bool),
        hyperparameters={
            "learning_rate": rng.random(n_runs).astype(np.float32),
            "weight_decay": np.zeros(n_runs, np.float32),
            "init_scale": np.ones(n_runs, np.float32),
            "optimizer": rng.choice(["adam", "sgd"], n_runs),
        },
    )


@pytest.fixture
def make_schema() -> Callable[..., ZooSchema]:
    return example_schema


@pytest.fixture
def make_batch() -> Callable[..., RunBatch]:
    return example_batch


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, RunBatch]:
    """A zoo of 19 runs, which is two shards and a part, and the batch it was made of."""
    batch = example_batch(19)
    ZooWriter.create(tmp_path / "zoo", example_schema()).append(batch)
    return tmp_path / "zoo", batch


@pytest.fixture
def flip() -> Callable[..., None]:
    """Flips a bit of the byte at `position` of a file, in place."""

    def flip_byte(file: Path, position: int) -> None:
        data = bytearray(file.read_bytes())
        data[position] ^= 1
        file.write_bytes(data)

    return flip_byte


@pytest.fixture
def chunk_place() -> Callable[..., tuple[int, int]]:
    """The (offset, bytes) of a chunk in its shard's file, as the index at the file's end says."""

    def place(file: Path, chunk: int, chunks_per_shard: int = 4) -> tuple[int, int]:
        index = np.frombuffer(file.read_bytes()[-16 * chunks_per_shard - 4 : -4], "<u8")
        offset, size = index.reshape(chunks_per_shard, 2)[chunk]
        return int(offset), int(size)

    return place
