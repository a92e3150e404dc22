"""Media for networks at equal seconds and equal parameters: one table, and a queue that goes on.

    python -m benchmarks.representations mlp cartpole --folder=runs/representations --seeds 0 1

Experiments are digits by an MLP, a CNN and a ViT, policies for cartpole, and glyphs by an MLP,
whose S2 and S3 are new classes; `mlp-64` to `mlp-1024` are wider MLPs for digits. Each medium
(benchmarks/representations/cells.py) is trained with and without gradients on probes; with units
there are other parametrisations, too, and zoos of one start.

The width of a meta-model is chosen so that it has as many parameters as with units; its steps fill
the seconds. What a training has given is kept in the folder, and the same command goes on where it
was. Writes benchmarks/results/representations.json, of which `benchmarks.representations.tables`
and `.figure` make the tables and the figure of docs/representations.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.representations import cells, one_cell, tables
from benchmarks.representations.cells import EXPERIMENTS, MEDIA, QUESTIONS, Cell
from mole_jax.core.program import compiled
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage.paths import user_path


def main() -> None:
    """Train what is missing, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+", choices=EXPERIMENTS, help="what is learned")
    parser.add_argument("--folder", type=user_path, required=True, help="for zoos and workdirs")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each meta-training")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,))
    parser.add_argument("--media", nargs="+", choices=MEDIA, help="these alone; all by default")
    parser.add_argument(
        "--questions", nargs="+", choices=QUESTIONS, default=QUESTIONS, help="all by default"
    )
    flags = parser.parse_args()
    if not 0 < flags.seconds < math.inf:
        parser.error(f"--seconds={flags.seconds:g} must be above 0")
    wanted = {
        (name, seed): [
            cell
            for cell in cells.all_of(name, seed, flags.questions)
            if flags.media is None or cell.medium in flags.media
        ]
        for seed in flags.seeds
        for name in flags.names
    }
    with compiled.kept():
        _fill(wanted, flags.folder, flags.seconds)


def _fill(wanted: Mapping[tuple[str, int], Sequence[Cell]], folder: Path, seconds: float) -> None:
    """Measure all speeds, then train cell by cell."""
    every = [cell for chosen in wanted.values() for cell in chosen]
    for i, cell in enumerate(every):
        per_second = one_cell.speed(folder, cell)
        print(f"speed {i + 1} of {len(every)}, {cell.name}: {per_second:.3g} steps/s", flush=True)
    for (name, seed), chosen in wanted.items():
        rows: list[dict[str, Any]] = []
        for i, cell in enumerate(chosen):
            print(f"{name}, seed {seed}: {i + 1} of {len(chosen)}, {cell.name}", flush=True)
            found = one_cell.run(folder, cell, seconds)
            rows.append(found)
            kept = machine.known("representations", "found")
            kept[f"{cell.name}-{seconds:g}"] = found
            machine.write("representations", found=kept)
        print(f"\n{name}, {seconds:g} s, seed {seed}\n{tables.of(rows)}\n", flush=True)


if __name__ == "__main__":
    leave(explained(main))
