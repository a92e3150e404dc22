"""How many training tasks make a learner: accuracy on new tasks against their number.

    python -m benchmarks.number_of_tasks --folder=runs/number_of_tasks

The experiment is `configs/glyphs_mlp.py`, with equal steps for every number of tasks, with the
support set's gradient, and with that of learned probes in its place. End-to-end training has the
same tasks here and no others (`training.fresh_classes=False`). S1 are new combinations of classes
that are trained on, S2 are of new classes, S3 of a data set never seen; each at one, five and ten
examples a class, one network.

A training that is done is read and not run again. Writes benchmarks/results/number_of_tasks.json
and docs/number_of_tasks.svg.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from benchmarks import machine, on_zoo, one_pass
from mole_jax import experiment
from mole_jax.core.errors import UserError
from mole_jax.core.program import config as configs
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path
from mole_jax.evaluation.harness.context import load_context
from mole_jax.report import style

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "number_of_tasks.svg"
NUMBERS = tuple(2**i for i in range(6, 15))
# What the inner steps follow, by metamodel.support_probes.
PROBES: dict[int, dict[str, int]] = {
    10: {"metamodel.support_probes": 10, "metamodel.probes": 0, "metamodel.inner_steps": 24},
    0: {"metamodel.support_probes": 0, "metamodel.probes": 16, "metamodel.inner_steps": 8},
}
COLOURS = {"diffusion": style.GENERATED, "end_to_end": style.BASELINE}


def main() -> None:
    """Train, evaluate, print a table, write JSON and a figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=user_path, required=True, help="for workdirs")
    parser.add_argument("--numbers", type=int, nargs="+", default=NUMBERS, help="of tasks")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1))
    parser.add_argument("--steps", type=int, default=500, help="of each training")
    flags = parser.parse_args()
    rows = []
    try:
        for n in sorted(flags.numbers):
            for seed in flags.seeds:
                rows += of_zoo(flags.folder, n, seed, flags.steps)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(machine.table(("tasks", "seed", "support probes", "learner", *columns(rows[0])),
                        [cells(row) for row in rows]))  # fmt: skip
    machine.write("number_of_tasks", steps=flags.steps, rows=rows)
    files.write_bytes(OUT, style.to_svg(drawn(rows)).encode())
    print(f"written: {OUT}")


def of_zoo(folder: Path, n: int, seed: int, steps: int) -> list[dict[str, Any]]:
    """Train on n tasks, with and without support probes, and judge each learner."""
    zoo, found = folder / f"zoo_{n}_{seed}", []
    for probes in PROBES:
        workdir = folder / f"{n}_{seed}_{probes}_{steps}"
        file = workdir.with_suffix(".json")
        if not file.exists():
            config = configured(n, seed, probes, steps)
            on_zoo.make(config, zoo)
            on_zoo.train(config, zoo, workdir)
            context = load_context(config, workdir)
            found_of = {name: one_pass.accuracies(context, name) for name in context.learners}
            files.write_json(file, found_of)
        found += [
            {"tasks": n, "seed": seed, "probes": probes, "learner": name, "accuracy": accuracy}
            for name, accuracy in json.loads(file.read_text()).items()
        ]
    shutil.rmtree(zoo, ignore_errors=True)  # large, and its models are judged
    return found


def configured(n: int, seed: int, probes: int, steps: int) -> Any:
    """Return the experiment with this many training tasks."""
    return experiment.change(
        configs.load(str(ROOT / "configs" / "glyphs_mlp.py")),
        {
            "seed": seed,
            "data.train_subsets": n,
            "population.snapshots": 12,
            **PROBES[probes],
            "metamodel.support_warps": 0.0,  # as the table in docs has been made
            "training.steps": steps,
            "training.warmup_steps": min(100, steps // 5),
            "training.end_to_end_steps": steps,
            "training.fresh_classes": False,
            "evaluation.s0_tasks": min(n, 52),
        },
    )


def columns(row: dict[str, Any]) -> list[str]:
    """Name the columns of accuracies: split and shots."""
    return [f"{split} @ {shots}" for split, of in row["accuracy"].items() for shots in of]


def cells(row: dict[str, Any]) -> list[Any]:
    """Return a row of the table."""
    accuracies = [f"{100 * np.mean(x):.1f}" for of in row["accuracy"].values() for x in of.values()]
    return [row["tasks"], row["seed"], row["probes"], row["learner"], *accuracies]


def drawn(rows: list[dict[str, Any]]) -> Figure:
    """Draw accuracy at five a class against the number of tasks: a panel for each split."""
    splits = list(rows[0]["accuracy"])
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(2.9 * len(splits), 3.0), layout="constrained")
        for axes, split in zip(
            np.atleast_1d(figure.subplots(1, len(splits), sharey=True)), splits, strict=True
        ):
            for name in COLOURS:
                for probes in PROBES:
                    own = [r for r in rows if (r["learner"], r["probes"]) == (name, probes)]
                    x, y = _by_number(own, split)
                    label = f"{name.replace('_', ' ')}{'' if probes else ', learned probes'}"
                    line = "-" if probes else ":"
                    axes.plot(
                        x, y, line, color=COLOURS[name], marker="o", markersize=3, label=label
                    )
            axes.set_xscale("log", base=2)
            axes.set_title(split, fontsize=9, color=style.INK)
            axes.set_xlabel("training tasks")
            style.percent_ticks(axes.yaxis)
        figure.axes[0].set_ylabel("accuracy (%), 5 examples a class")
        figure.axes[-1].legend(fontsize=7)
    return figure


def _by_number(rows: Iterable[dict[str, Any]], split: str) -> tuple[list[int], list[float]]:
    """Return numbers of tasks, and the accuracy at five a class, averaged over seeds."""
    of: dict[int, list[float]] = {}
    for row in rows:
        of.setdefault(row["tasks"], []).append(float(np.mean(row["accuracy"][split]["5"])))
    return sorted(of), [float(np.mean(of[n])) for n in sorted(of)]


if __name__ == "__main__":
    leave(explained(main))
