"""Checkpoint data sets in G.pt's layout, small and made up, whole or damaged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

EXAMPLE = Path(__file__).parents[2] / "data" / "gpt_parity" / "lmdb_mlp_64_8_5"
TEST_SET = EXAMPLE.with_name("lmdb_mlp_64_8_5_test_set.npz")
SIZES = {
    "mlp:4,3,2": (12, 3, 6, 2),
    "cnn:3,2,4,5": (54, 72, 20, 5),
    "policy:4,3,3,1": (1, 12, 3, 9, 3, 3, 1),
}


def run(
    name: str,
    network: str = "mlp:4,3,2",
    n: int = 5,
    seed: int = 0,
    epochs: bool = True,
    metrics: Sequence[str] = ("avg_test_loss", "avg_test_err"),
) -> dict[str, Any]:
    """One run: keys and metrics as in runs.json, values [n, D], and tensor sizes.

    Iterations are its own.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    steps = np.cumsum(rng.integers(1, 9, n)) - 1
    keys = [f"{name}/ep{s // 10:03d}_it{s:05d}.pt" if epochs else f"{name}/it{s:05d}.pt"
            for s in steps.tolist()]  # fmt: skip
    return {
        "values": rng.normal(size=(n, sum(SIZES[network]))).astype(np.float32),
        "checkpoints": {key: {m: float(rng.random()) * 100 for m in metrics} for key in keys},
        "sizes": SIZES[network],
    }


def write(folder: Path, runs: Mapping[str, Mapping[str, Any]], done: bool = True) -> None:
    """A folder of the data set; a fused one for several runs."""
    folder.mkdir(parents=True)
    environment = lmdb.open(str(folder), map_size=2**22, lock=False)
    with environment.begin(write=True) as transaction:
        for content in runs.values():
            for key, value in zip(content["checkpoints"], content["values"], strict=True):
                transaction.put(key.encode(), value.tobytes())
                sizes = np.array(content["sizes"], np.float32).tobytes()
                transaction.put(f"{key}_arch".encode(), sizes)
    environment.close()
    parts = {
        name: {"checkpoints": content["checkpoints"], "metadata": {}}
        for name, content in runs.items()
    }
    whole = parts if len(runs) > 1 else next(iter(parts.values()))
    (folder / "runs.json").write_text(json.dumps(whole))
    if done:
        (folder / "DONE.txt").write_text("done\n")


def make(path: Path, n: int = 6, **options: Any) -> Path:
    """A data set of n runs called 000000, 000001, ..."""
    for i in range(n):
        name = f"{i:06d}"
        write(path / name, {name: run(name, **options)})
    return path


def contents(folder: Path) -> dict[bytes, bytes]:
    """Every key and value of a folder's LMDB."""
    environment = lmdb.open(str(folder), readonly=True, lock=False)
    with environment.begin() as transaction:
        found = {bytes(key): bytes(value) for key, value in transaction.cursor()}
    environment.close()
    return found


def change(folder: Path, key: str, value: bytes | None) -> None:
    """Puts another value at a key, or takes it away."""
    environment = lmdb.open(str(folder), map_size=2**22, lock=False)
    with environment.begin(write=True) as transaction:
        if value is None:
            assert transaction.delete(key.encode())
        else:
            transaction.put(key.encode(), value)
    environment.close()


def change_json(folder: Path, **changes: Any) -> None:
    """Replaces top-level entries of runs.json."""
    file = folder / "runs.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
