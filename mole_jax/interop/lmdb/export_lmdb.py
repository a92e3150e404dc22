"""Zoos as data sets of G.pt: `python -m mole_jax.zoo export-gpt ZOO --out DIR`."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from mole_jax.core.console.progress import Progress
from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import read_json, write_bytes, write_json
from mole_jax.core.storage.paths import user_path
from mole_jax.interop.lmdb.lmdb_runs import ARCH, DONE, EPOCH, ITERATION, JSON
from mole_jax.tasks import networks
from mole_jax.tasks.networks.torch_layout import TorchLayout, layout
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.schema import RUN_SPLITS

# G.pt takes every folder for a run, unless its name begins with a dot.
MARK = ".mole.json"
# G.pt takes the parts of a folder's name between '_' for runs of their own.
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_PAGE = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("zoo", type=user_path, metavar="ZOO", help="the zoo's folder")
    parser.add_argument(
        "--out", type=user_path, required=True, metavar="DIR", help="the data set's folder"
    )


def run(flags: argparse.Namespace) -> int:
    """Run the command."""
    export_gpt(flags.zoo, flags.out)
    return 0


def export_gpt(path: str | Path, out: str | Path) -> None:
    """Write every finite run of a zoo as a folder of LMDB, resuming an interrupted export.

    Training runs come first in the order of names, then held-out ones: G.pt holds out the last
    runs. Imported runs keep their names. Metrics keep their names; MOLE's own are also written
    under G.pt's names (see `gpt_metrics`).

    Raises:
        UserError: for a network without a layout in PyTorch; when DIR holds something else.
    """
    out = user_path(out)
    zoo = open_zoo(path)
    network = networks.from_json(zoo.schema.network)
    if any(0 < len(task.classes) < network.n_outputs for task in zoo.schema.tasks):
        raise UserError(
            f"the zoo at {zoo.path} has tasks with fewer classes than networks have outputs, and "
            "this format cannot say which outputs count: export its networks one by one with "
            "export-network"
        )
    torch = layout(network)
    runs = _order(zoo)
    names = _names(zoo, runs)
    if not len(runs):
        raise UserError(f"the zoo at {zoo.path} has no finite run to export")
    _claim(out, {"zoo": zoo.schema.name, "created": zoo.created, "runs": zoo.n_runs})
    left = [i for i, name in enumerate(names) if not (out / name).exists()]
    with Progress("export", total=len(runs), unit="runs", initial=len(runs) - len(left)) as bar:
        for i in left:
            _write_run(zoo, torch, int(runs[i]), names[i], out)
            bar.update(1)
    held_out = int((zoo.runs["split"][runs] != "train").sum())
    infinite = zoo.n_runs - len(runs)
    if infinite:
        print(f"{infinite} runs left out, which are not finite", file=sys.stderr)
    print(f"{out}: {len(runs)} runs, of which the last {held_out} are held out")


def gpt_metrics(metrics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a run's metrics [S] under their own names, and MOLE's under G.pt's, too.

    test_loss becomes avg_test_loss, 100 (1 - test_accuracy) avg_test_err (percent), the same for
    train, and train_return becomes train_ret.
    """
    found = dict(metrics)
    for pool in ("train", "test"):
        if f"{pool}_loss" in metrics and f"{pool}_accuracy" in metrics:
            found.setdefault(f"avg_{pool}_loss", metrics[f"{pool}_loss"])
            error = 100 * (1 - np.asarray(metrics[f"{pool}_accuracy"], np.float64))
            found.setdefault(f"avg_{pool}_err", error)
    if "train_return" in metrics:
        found.setdefault("train_ret", metrics["train_return"])
    return found


def _order(zoo: Zoo) -> np.ndarray:
    """Return the finite runs: those of imported zoos in their order, others by split."""
    runs = zoo.select(finite=True)
    if zoo.schema.run_names:
        return runs
    place = [RUN_SPLITS.index(split) for split in zoo.runs["split"][runs].tolist()]
    return runs[np.argsort(place, kind="stable")]


def _names(zoo: Zoo, runs: np.ndarray) -> list[str]:
    if not zoo.schema.run_names:
        return [f"{i:06d}" for i in range(len(runs))]
    names = zoo.names(runs)
    for name in names:
        if not _SAFE.fullmatch(name):
            raise UserError(
                f"the run {name!r} of the zoo at {zoo.path} cannot name a folder; import it again "
                "under a name of letters, digits and '-'"
            )
    return names


def _claim(out: Path, mark: dict[str, Any]) -> None:
    """Claim the folder for this zoo, and remove what an interrupted export left unfinished."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not (out / MARK).is_file() or read_json(out / MARK) != mark:
            raise UserError(f"{out} is not empty; give another --out")
        for folder in out.glob(".*.tmp"):
            if folder.is_dir():
                shutil.rmtree(folder)
        return
    write_json(out / MARK, mark)


def _write_run(zoo: Zoo, torch: TorchLayout, row: int, name: str, out: Path) -> None:
    parameters = torch.to_torch(zoo.parameters([row])[0]).astype("<f4")  # [S, D]
    metrics = gpt_metrics({m: zoo.metric(m, [row])[0] for m in zoo.schema.metrics})
    keys = _keys(zoo, row, name)
    folder = out / f".{name}.tmp"
    folder.mkdir()
    _write_lmdb(folder, keys, parameters, np.array(torch.sizes, "<f4").tobytes())
    content = {
        "checkpoints": {
            key: {m: float(values[s]) for m, values in sorted(metrics.items())}
            for s, key in enumerate(keys)
        },
        "metadata": _metadata(metrics, parameters),
    }
    write_bytes(folder / JSON, json.dumps(content, indent=1, allow_nan=False).encode())
    write_bytes(folder / DONE, b"done\n")
    folder.rename(out / name)  # whole or absent


def _keys(zoo: Zoo, row: int, name: str) -> list[str]:
    fields = zoo.schema.snapshot_fields
    if ITERATION not in fields:
        return [f"{name}/ep{s:03d}_it{step:05d}.pt" for s, step in enumerate(zoo.steps.tolist())]
    iterations = zoo.snapshot_field(ITERATION, [row])[0].tolist()
    if EPOCH not in fields:
        return [f"{name}/it{iteration:05d}.pt" for iteration in iterations]
    epochs = zoo.snapshot_field(EPOCH, [row])[0].tolist()
    return [f"{name}/ep{e:03d}_it{i:05d}.pt" for e, i in zip(epochs, iterations, strict=True)]


def _write_lmdb(folder: Path, keys: list[str], parameters: np.ndarray, sizes: bytes) -> None:
    """Write all keys in one transaction; D float32 each, and the tensors' sizes."""
    pages = len(keys) * (parameters[0].nbytes // _PAGE + 4) + 64
    # The map's size only limits the file, which takes as much as it needs.
    environment = lmdb.open(str(folder), map_size=2 * pages * _PAGE, lock=False)
    try:
        with environment.begin(write=True) as transaction:
            for key, row in zip(keys, parameters, strict=True):
                transaction.put(key.encode(), row.tobytes())
                transaction.put((key + ARCH).encode(), sizes)
    finally:
        environment.close()


def _metadata(metrics: Mapping[str, np.ndarray], parameters: np.ndarray) -> dict[str, Any]:
    """Return what G.pt reads about a run as a whole."""
    found: dict[str, Any] = {name: np.asarray(v).tolist() for name, v in sorted(metrics.items())}
    for name, values in sorted(metrics.items()):
        best = np.min if "loss" in name or "err" in name else np.max
        found[f"optimal_{name.removeprefix('avg_')}"] = float(best(values))
    found["min_parameter_val"] = float(parameters.min())
    found["max_parameter_val"] = float(parameters.max())
    return found
