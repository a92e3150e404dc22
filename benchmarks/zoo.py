"""A zoo made for real, checked, read and trained on: rate, bytes and peak memory of each.

    python -m benchmarks.zoo                                   (20,000 snapshots, a minute)
    python -m benchmarks.zoo --snapshots=1000000 --name=zoo_large      (5 GB on disk, for a while)

The networks are the demo's MLPs 64-16-5 (D = 1,125), trained for few steps: what is measured is the
zoo. Every line is a process of its own, since peak memory is a process's. The demo's meta-model is
trained on the zoo twice: streamed from its files, with room for a tenth of it, after the system has
been asked to forget them; and with all of it on the device.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from mole_jax.core.program import config as configs
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path
from mole_jax.core.storage.provenance import environment

HERE = Path(__file__).parent
DEMO = HERE.parent / "configs" / "digits_mlp.py"
SUBSETS = 252  # all ways to take 5 of 10 digits
GROUP_RUNS = 1000
RANDOM_RUNS = 1000
WRITTEN_GROUPS = 8
DISPATCHES, STEPS = 8, 10  # of the meta-model; the first dispatch compiles and is left out


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--snapshots", type=int, default=20_000, help="of the whole zoo, about")
    parser.add_argument("--per-run", type=int, default=24, help="snapshots of a run")
    parser.add_argument("--runs-per-chunk", type=int, default=1, help="read and unpacked at once")
    parser.add_argument("--dtype", default="float32", help="of the stored parameters")
    parser.add_argument(
        "--folder", type=user_path, help="where the zoo is made for a while; TMPDIR without it"
    )
    parser.add_argument("--name", default="zoo", help="of the results' file")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.phase:
        began = time.monotonic()
        row = PHASES[flags.phase](flags)
        seconds = time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print("ROW " + json.dumps({"seconds": seconds, "peak_bytes": peak, **row}))
        return
    rows = []
    print(f"{'':24}{'seconds':>9}{'runs/s':>10}{'snapshots/s':>13}{'MB/s':>8}{'peak MB':>9}")
    with tempfile.TemporaryDirectory(dir=flags.folder, prefix="mole-zoo-") as folder:
        for phase in PHASES:
            row = {"phase": phase, **_in_a_process(phase, flags, folder)}
            rows.append(row)
            _show(row)
    facts = {
        "command": " ".join(["python -m benchmarks.zoo", *sys.argv[1:]]),
        "note": "other programs may have run beside it: see benchmarks/zoo.py",
        "environment": environment(),
    }
    files.write_json(HERE / "results" / f"{flags.name}.json", {**facts, "rows": rows})


def _in_a_process(phase: str, flags: argparse.Namespace, folder: str) -> dict[str, Any]:
    arguments = [f"--snapshots={flags.snapshots}", f"--per-run={flags.per_run}"]
    arguments += [f"--dtype={flags.dtype}", f"--runs-per-chunk={flags.runs_per_chunk}"]
    arguments += [f"--folder={folder}", f"--phase={phase}"]
    command = [sys.executable, "-m", "benchmarks.zoo", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=HERE.parent)
    row = json.loads(re.findall(r"^ROW (.*)$", done.stdout, re.M)[0])
    if found := re.search(r"training waited ([\d.]+) s", done.stdout):
        row["waited_for_writer_seconds"] = float(found[1])
    return row


def _show(row: dict[str, Any]) -> None:
    seconds = row["seconds"]
    numbers = "".join(
        f"{row[name] / scale / seconds:>{width},.0f}" if name in row else " " * width
        for name, scale, width in (("runs", 1, 10), ("snapshots", 1, 13), ("bytes", 1e6, 8))
    )
    print(f"{row['phase']:24}{seconds:9.2f}{numbers}{row['peak_bytes'] / 1e6:9,.0f}", flush=True)
    for name, value in row.items():
        if name not in ("phase", "seconds", "peak_bytes", "runs", "snapshots", "bytes"):
            shown = f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
            print(f"    {name.replace('_', ' ')}: {shown}", flush=True)


def _zoo(flags: argparse.Namespace) -> Path:
    return flags.folder / "zoo"


def _config(flags: argparse.Namespace) -> ConfigDict:
    config = configs.load(str(DEMO))
    config.population.members = max(2, round(flags.snapshots / flags.per_run / SUBSETS))
    config.population.snapshots = flags.per_run
    config.population.steps = 4 * (flags.per_run - 1)
    config.population.snapshot_power = 1.0
    config.zoo.subsets_per_group = max(1, GROUP_RUNS // config.population.members)
    config.zoo.dtype = flags.dtype
    config.zoo.runs_per_chunk = flags.runs_per_chunk
    config.training.steps = DISPATCHES * STEPS
    config.training.steps_per_dispatch = STEPS
    config.training.warmup_steps = STEPS
    config.training.regression_steps = 0
    return config


def _generate(flags: argparse.Namespace) -> dict[str, Any]:
    """Train and store populations, as the zoo stage does it."""
    from mole_jax.zoo.making import generation

    generation.generate(_config(flags).lock(), flags.folder)
    stored = [file.stat().st_size for file in _zoo(flags).rglob("*") if file.is_file()]
    return {**_sizes(flags), "bytes_on_disk": sum(stored), "files": len(stored)}


def _verify(flags: argparse.Namespace) -> dict[str, Any]:
    """Read and check every byte."""
    from mole_jax.zoo.storage.verify import verify

    return {"problems": len(verify(_zoo(flags))), **_sizes(flags)}


def _open(flags: argparse.Namespace) -> dict[str, Any]:
    """Read the table of runs."""
    from mole_jax.zoo.storage.reader import open_zoo

    return {"runs": open_zoo(_zoo(flags)).n_runs}


def _read(flags: argparse.Namespace) -> dict[str, Any]:
    """Read all parameters, block by block."""
    from mole_jax.zoo.storage.reader import open_zoo

    n = sum(len(block) for block in open_zoo(_zoo(flags)).blocks())
    sizes = _sizes(flags)
    return sizes | {"runs": n}


def _read_random(flags: argparse.Namespace) -> dict[str, Any]:
    """Read random runs in one call."""
    import numpy as np

    from mole_jax.zoo.storage.reader import open_zoo

    zoo = open_zoo(_zoo(flags))
    runs = np.random.default_rng(0).integers(0, zoo.n_runs, RANDOM_RUNS)
    found = zoo.parameters(runs)
    return {"runs": len(found), "snapshots": found.shape[0] * found.shape[1], "bytes": found.nbytes}


def _write(flags: argparse.Namespace) -> dict[str, Any]:
    """Write groups of random networks: the most that a device may deliver without waiting."""
    import numpy as np

    from mole_jax.zoo.storage.reader import open_zoo
    from mole_jax.zoo.storage.schema import RunBatch
    from mole_jax.zoo.storage.store import ZooWriter

    zoo = open_zoo(_zoo(flags))
    schema, n = zoo.schema, min(GROUP_RUNS, zoo.n_runs)
    rng = np.random.default_rng(0)
    shape = (n, len(schema.steps))
    names = ("learning_rate", "weight_decay", "init_scale", "optimizer")
    columns: dict[str, Any] = {
        name: zoo.runs[name][:n] for name in ("subset", "split", "member", "seed", "finite")
    }
    batch = RunBatch(
        parameters=rng.normal(size=(*shape, schema.spec.size)).astype(schema.dtype),
        metrics={name: rng.random(shape, np.float32) for name in schema.metrics},
        hyperparameters={name: zoo.runs[name][:n] for name in names},
        **columns,
    )
    path = flags.folder / "written"
    writer = ZooWriter.create(path, schema)
    began = time.monotonic()
    for _ in range(WRITTEN_GROUPS):
        writer.append(batch)
    seconds = time.monotonic() - began
    shutil.rmtree(path)
    runs = WRITTEN_GROUPS * n
    size = WRITTEN_GROUPS * batch.parameters.nbytes
    return {
        "runs": runs,
        "snapshots": runs * shape[1],
        "bytes": size,
        "write_megabytes_per_second": size / 1e6 / seconds,
    }


def _train_streamed(flags: argparse.Namespace) -> dict[str, Any]:
    """Train the meta-model with room for a tenth of the zoo."""
    for file in _zoo(flags).rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return _train(flags, "auto", _sizes(flags)["bytes"] / 10 / 2**30)


def _train_on_device(flags: argparse.Namespace) -> dict[str, Any]:
    """Train the meta-model with the whole zoo on the device."""
    return _train(flags, "device", 0.0)


def _train(flags: argparse.Namespace, placement: str, memory_gb: float) -> dict[str, Any]:
    from mole_jax.learners import meta_training

    config = _config(flags)
    config.zoo.placement = placement
    config.zoo.memory_gb = memory_gb
    folder = flags.folder / "train"
    meta_training.train(config.lock(), flags.folder)
    lines = [json.loads(x) for x in (folder / "diffusion/metrics.jsonl").read_text().splitlines()]
    shutil.rmtree(folder)
    found = {"steps_per_second": len(lines[1:]) / sum(1 / x["steps_per_second"] for x in lines[1:])}
    if "input_wait" in lines[0]:
        seconds = [STEPS / x["steps_per_second"] for x in lines[1:]]
        waits = [x["input_wait"] * s for x, s in zip(lines[1:], seconds, strict=True)]
        found["share_of_time_waiting_for_input"] = sum(waits) / sum(seconds)
        found["room_for_the_zoo_bytes"] = memory_gb * 2**30
    return found


def _sizes(flags: argparse.Namespace) -> dict[str, int]:
    import numpy as np

    from mole_jax.zoo.storage.manifest import read_manifest

    manifest = read_manifest(_zoo(flags))
    snapshots = manifest.n_runs * len(manifest.schema.steps)
    size = snapshots * manifest.schema.spec.size * np.dtype(manifest.schema.dtype).itemsize
    return {"runs": manifest.n_runs, "snapshots": snapshots, "bytes": size}


PHASES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "generate": _generate,
    "open": _open,
    "verify": _verify,
    "read in blocks": _read,
    "read random runs": _read_random,
    "write": _write,
    "train, streamed": _train_streamed,
    "train, on device": _train_on_device,
}


if __name__ == "__main__":
    leave(explained(main))
