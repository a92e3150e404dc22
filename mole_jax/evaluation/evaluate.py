"""The evaluate stage: predict networks for held-out tasks, and compare them with baselines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mole_jax.core.console.progress import Progress
from mole_jax.core.devices import distributed
from mole_jax.core.storage import files
from mole_jax.core.storage.provenance import environment
from mole_jax.core.storage.writers import MetricWriter
from mole_jax.evaluation import selection, targets
from mole_jax.evaluation.harness import evaluation_config
from mole_jax.evaluation.harness.context import (
    CHOICE,
    EvalContext,
    load_context,
    stage_seconds,
)
from mole_jax.evaluation.harness.kept import kept
from mole_jax.evaluation.harness.measure import Arrays, Measure, Record, Results, jobs


def evaluate(config: Mapping[str, Any], workdir: Path) -> None:
    """Evaluate what WORKDIR/train holds.

    Writes WORKDIR/report/evaluation.json (numbers), WORKDIR/evaluate/figures.npz (arrays) and a
    few scalars for TensorBoard. Every result is kept in WORKDIR/evaluate/results. A resumed stage
    repeats none of them and gives the same numbers, except for measured times.

    Raises:
        UserError: if the evaluation is impossible, or the zoo or a learner is missing.
    """
    workdir, began = Path(workdir), time.monotonic()
    evaluation_config.check(config)
    measures = selection.selected(config)
    before = stage_seconds(workdir, "evaluate") or 0.0
    context = load_context(config, workdir)
    measures = selection.applicable(context, measures)
    results = compute(context, measures, workdir / "evaluate" / "results")
    if distributed.is_first():
        _write(context, results, workdir, began - before)


def compute(context: EvalContext, measures: Sequence[Measure[Any]], folder: Path) -> Results:
    """Return all results: read those kept in `folder`, and compute the rest."""
    todo, results = jobs(context, measures), Results(context)
    choices = [job for job in todo if job.split == CHOICE]
    with Progress("evaluate", total=len(todo), unit="results") as bar:
        # A choice begins with compiling, which uses one core; in parallel, choices use all cores.
        # With several devices they run one by one, since all devices must get programs in the same
        # order.
        with ThreadPoolExecutor(1 if context.mesh.size > 1 else None) as pool:
            chosen = [pool.submit(kept, folder, job, context, results) for job in choices]
            for job, future in zip(choices, chosen, strict=True):
                results.found[job] = future.result()
                bar.update(1)
        for job in todo[len(choices) :]:
            results.found[job] = kept(folder, job, context, results)
            bar.update(1)
    return results


def records(results: Results) -> tuple[Record, dict[str, Record]]:
    """Return the records in evaluation.json: of the choices, and by split of everything else."""
    context = results.context
    choices: Record = {}
    splits = {split: _header(context, split) for split in context.splits}
    for job in results.found:
        record, seen = job.measure.record, job.seen_from(context)
        if job.split == CHOICE:
            choices |= record(seen, job.split, results)
        else:
            for split in context.splits if job.measure.where == "once" else (job.split,):
                splits[split] |= record(seen, split, results)
    return choices, splits


def arrays(results: Results) -> Arrays:
    """Return the arrays for the report's figures; predictions are those of the main split."""
    context = results.context
    split = context.main_split
    found = {
        "prompt_metric": np.array(context.prompt_metric.words),
        "task_ids": np.array([context.family.subsets[i].id for i in context.splits[split].tasks]),
    }
    for job in results.found:
        if job.split == split:
            found |= job.measure.arrays(job.seen_from(context), split, results)
    return found


def _header(context: EvalContext, split: str) -> Record:
    n_tasks, n_starts = context.splits[split].shape
    return {
        "n_tasks": n_tasks,
        "n_networks": n_tasks * n_starts,
        "metric": context.family.score,
        "prompt_metric": context.prompt_metric.name,
    }


def _write(context: EvalContext, results: Results, workdir: Path, began: float) -> None:
    config = context.config
    choices, splits = records(results)
    files.write_npz(workdir / "evaluate" / "figures.npz", **arrays(results))
    wanted = config["evaluation"]["targets"]
    files.write_json(
        workdir / "report" / "evaluation.json",
        {
            "config": config.to_dict() if isinstance(config, ConfigDict) else dict(config),
            "hardware": environment()["hardware"],
            "seconds": {**context.seconds, "evaluate": round(time.monotonic() - began, 1)},
            "choices": choices,
            "splits": splits,
            "targets": targets.reached(splits["S1"], wanted) if "S1" in splits else [],
        },
    )
    _log(context, splits, workdir / "evaluate")


def _log(context: EvalContext, splits: Mapping[str, Record], folder: Path) -> None:
    scalars = {}
    for split, record in splits.items():
        score = record["metric"]
        for name in ("generated", "adam"):
            scalars[f"{split}/{name}_{score}"] = record[name]["mean"]
        for name, quality in record["baselines"].items():
            scalars[f"{split}/{name}_{score}"] = quality["mean"]
        scalars[f"{split}/regret"] = record["regret_mean"]
        if record.get("prompt_alignment"):
            scalars[f"{split}/prompt_r2"] = record["prompt_alignment"]["r2_mean"]
    with MetricWriter(folder) as writer:
        writer.write(context.config["training"]["steps"], scalars)
