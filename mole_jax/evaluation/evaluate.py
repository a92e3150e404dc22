"""The evaluate stage: predict networks for held-out tasks, and compare them with baselines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from mole_jax.core.console.progress import Progress
from mole_jax.core.devices import distributed
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage import files
from mole_jax.core.storage.provenance import environment
from mole_jax.core.storage.writers import MetricWriter
from mole_jax.evaluation import bench as benches
from mole_jax.evaluation import figure_arrays, parts, result, schedule, settings, targets
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.parts import Arrays, Done


def evaluate(config: Mapping[str, Any], workdir: Path) -> None:
    """Evaluate what WORKDIR/train holds.

    Writes WORKDIR/report/evaluation.json (numbers), WORKDIR/evaluate/figures.npz (arrays) and a
    few scalars for TensorBoard. Every part is kept in WORKDIR/evaluate/parts, so that a resumed
    stage repeats none and gives the same numbers, measured times apart.

    Raises:
        UserError: for settings that cannot be done, or where zoo or model are not there.
    """
    workdir, began = Path(workdir), time.monotonic()
    settings.check(config)
    before = _seconds(workdir, "evaluate") or 0.0
    bench = benches.load(config, workdir)
    done = compute(bench, workdir / "evaluate" / "parts")
    if distributed.is_first():
        _write(bench, done, workdir, began - before)


def _write(bench: Bench, done: Done, workdir: Path, began: float) -> None:
    config = bench.config
    splits = {split: result.of_split(bench, split, done) for split in bench.splits}
    seconds = {name: _seconds(workdir, name) for name in ("zoo", "train")}
    for record in splits.values():
        record["cost"]["tasks_until_paid_back"] = paid_back(record["cost"], seconds)
    files.write_npz(workdir / "evaluate" / "figures.npz", **figure_arrays.arrays(bench, done))
    seconds["evaluate"] = round(time.monotonic() - began, 1)
    files.write_json(
        workdir / "report" / "evaluation.json",
        {
            "config": config.to_dict() if isinstance(config, ConfigDict) else dict(config),
            "hardware": environment()["hardware"],
            "seconds": seconds,
            "choices": result.choices(done),
            "splits": splits,
            "targets": (
                targets.reached(splits["S1"], config["evaluation"]["targets"])
                if "S1" in splits
                else []
            ),
        },
    )
    _log(bench, splits, workdir / "evaluate")


def compute(bench: Bench, folder: Path) -> Done:
    """All parts, those that are in `folder` read and the others computed."""
    choices, results = schedule.choices(bench), schedule.results(bench)
    done: dict[str, Arrays] = {}
    with Progress("evaluate", total=len(choices) + len(results), unit="parts") as bar:
        # Each choice begins with compiling, which uses one core: side by side they use them all.
        # Not so on several devices, which all must be given their programs in the same order.
        with ThreadPoolExecutor(1 if bench.mesh.size > 1 else None) as pool:
            chosen = {
                pool.submit(parts.kept, folder, name, function, {}): name
                for name, function in choices.items()
            }
            for future in as_completed(chosen):
                done[chosen[future]] = future.result()
                bar.update(1)
        for name, function in results.items():
            done[name] = parts.kept(folder, name, function, done)
            bar.update(1)
    return done


def paid_back(cost: Mapping[str, float], seconds: Mapping[str, float | None]) -> float | None:
    """After how many tasks the zoo and the meta-training have saved as much time as they took.

    None when a prediction takes longer than Adam, or the stages' times are not on record.
    """
    saved = cost["seconds_per_network_adam"] - cost["seconds_per_network"]
    spent = [seconds["zoo"], seconds["train"]]
    if saved <= 0 or None in spent:
        return None
    return sum(s for s in spent if s is not None) / saved


def _seconds(workdir: Path, stage: str) -> float | None:
    try:
        return float(stages.record(workdir, stage)["seconds"])
    except UserError:  # called as a function and not as a stage
        return None


def _log(bench: Bench, splits: Mapping[str, result.Record], folder: Path) -> None:
    scalars = {}
    for split, record in splits.items():
        for name in ("generated", "adam"):
            scalars[f"{split}/{name}_{record['metric']}"] = record[name]["mean"]
        for name, quality in record["baselines"].items():
            scalars[f"{split}/{name}_{record['metric']}"] = quality["mean"]
        scalars[f"{split}/regret"] = record["regret_mean"]
        scalars[f"{split}/prompt_r2"] = record["prompt_alignment"]["r2_mean"]
    with MetricWriter(folder) as writer:
        writer.write(bench.config["training"]["steps"], scalars)
