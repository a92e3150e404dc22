"""How time grows: with members, parameters, tasks of a zoo, support examples, networks of a task.

    python -m benchmarks.growth                      (all five)
    python -m benchmarks.growth --only=tasks

Every point is a process of its own, since peak memory is a process's, with a folder of its own for
a while. Writes benchmarks/results/growth.json and docs/growth.svg, a panel for each of the five; a
curve that is not measured again stays as it was.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from benchmarks import growth_rows, machine
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path
from mole_jax.report import style

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "growth.svg"
# What is drawn from left to right, by curve; the lines are whatever is in seconds.
AXES = {
    "members": "members at once",
    "parameters": "parameters of a network",
    "tasks": "training tasks",
    "support": "examples of each of 5 classes",
    "networks": "networks of a task",
}
NOT_SECONDS = ("n", "parameters", "peak memory, MB", "zoo.json, bytes")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#68707a")


def main() -> None:
    """Measure, print tables, write JSON and a figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=list(AXES), help="one of the five")
    parser.add_argument("--point", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=user_path, help="where zoos are made for a while")
    flags = parser.parse_args()
    if flags.point is not None:
        measure, _ = growth_rows.CURVES[flags.only]
        row = {"n": flags.point, **measure(flags.point, flags.folder)}
        row["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print("ROW " + json.dumps(row))
        return
    curves = machine.known("growth", "curves")
    for name in [flags.only] if flags.only else AXES:
        curves[name] = [_in_a_process(name, n, flags.folder) for n in growth_rows.CURVES[name][1]]
        print(f"\n{AXES[name]}; seconds")
        head = [key for key in curves[name][0] if key != "n" or "parameters" not in curves[name][0]]
        print(machine.table(head, [[_number(row[key]) for key in head] for row in curves[name]]))
    machine.write("growth", curves=curves)
    files.write_bytes(OUT, style.to_svg(drawn(curves)).encode())
    print(f"written: {OUT}")


def _in_a_process(name: str, n: int, folder: Path | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder, prefix="mole-growth-") as own:
        flags = [f"--only={name}", f"--point={n}", f"--folder={own}/run"]
        command = [sys.executable, "-m", "benchmarks.growth", *flags]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        if done.returncode:
            sys.exit(f"error: {' '.join(command[1:])} failed:\n{done.stdout}")
        return json.loads(re.findall(r"^ROW (.*)$", done.stdout, re.M)[0])


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 or x == int(x) else f"{x:.3g}"


def drawn(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Draw seconds against size: a panel for each curve, with a line of slope one."""
    there = [name for name in AXES if name in curves]
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(3.4 * len(there), 4.4), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(there), squeeze=False)[0], there, strict=True):
            rows = curves[name]
            x = [row.get("parameters", row["n"]) for row in rows]
            lines = [key for key in rows[0] if key not in NOT_SECONDS]
            for key, colour in zip(lines, COLOURS, strict=False):
                y = [row[key] for row in rows]
                axes.plot(x, y, color=colour, marker="o", markersize=3, label=key)
            top = max(rows[-1][key] for key in lines)
            in_proportion = [top * value / x[-1] for value in x]
            axes.plot(x, in_proportion, ":", color=style.MUTED, label="in proportion")
            axes.set(xscale="log", yscale="log", xlabel=AXES[name])
            axes.set_ylim(bottom=min(row[key] for row in rows for key in lines) / 2)
            axes.legend(fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.2))
        figure.axes[0].set_ylabel("seconds")
    return figure


if __name__ == "__main__":
    leave(explained(main))
