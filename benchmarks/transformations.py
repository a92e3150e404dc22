"""Which transformations of training tasks help on data of another kind.

    python -m benchmarks.transformations --folder=runs/transformations

A model of `configs/glyphs_mlp.py` is trained end to end on characters of fonts alone: without
transformations, with one kind at a time in half of the tasks, and with all that the config has. It
is judged on new characters (S2) and on three sources of which it saw nothing (S3): strokes (made-up
characters, drawn by hands), digits, and clothes (Fashion-MNIST brought to 8x8 as scikit-learn's
digits were, by means of 4x4 pixels). Differences are paired by task.

A training that is done is read and not run again. Writes benchmarks/results/transformations.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import clothes, machine, one_pass
from mole_jax import experiment
from mole_jax.core.errors import UserError
from mole_jax.core.program import config as configs
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage.paths import user_path
from mole_jax.evaluation.harness import statistics
from mole_jax.tasks.transformation import KINDS

CONFIG = Path(__file__).parents[1] / "configs" / "glyphs_mlp.py"
NONE, ALL = "none", "those of glyphs_mlp"
LEARNER = "end_to_end"


def main() -> None:
    """Train, evaluate, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=user_path, required=True, help="for workdirs")
    parser.add_argument("--clothes", default=clothes.SOURCE, help="source of 28x28 images")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,))
    parser.add_argument("--steps", type=int, default=400, help="of each training")
    flags = parser.parse_args()
    rows = []
    try:
        flags.folder.mkdir(parents=True, exist_ok=True)
        images = clothes.small(flags.clothes, flags.folder / "clothes.npz")
        for seed in flags.seeds:
            for name in (NONE, *KINDS, ALL):
                config = configured(name, images, seed, flags.steps)
                place = flags.folder / f"{name.replace(' ', '_')}_{seed}_{flags.steps}"
                accuracy = one_pass.judged(config, place, LEARNER)
                rows.append({"tasks with": name, "seed": seed, "accuracy": accuracy})
    except UserError as error:
        sys.exit(f"error: {error}")
    splits = [split for split in rows[0]["accuracy"] if split not in ("S0", "S1")]
    heads = [f"{split} @ {shots}" for split in splits for shots in one_pass.SHOTS]
    print(machine.table(("tasks with", "seed", *heads), [cells(r, rows, splits) for r in rows]))
    machine.write("transformations", steps=flags.steps, rows=rows)


def configured(name: str, images: Path, seed: int, steps: int) -> Any:
    """Return the experiment with these transformations of training tasks."""
    changes: dict[str, Any] = {
        "seed": seed,
        "data.source": f"glyphs+strokes+digits+npz:{images}",
        "data.held_out_sources": f"strokes+digits+{images.stem}",
        "data.train_subsets": 512,
        "data.max_per_class": {"train": 400, "support": 200, "validation": 100, "test": 200},
        "population.snapshots": 4,
        "metamodel.support_warps": 0.0,  # as the table in docs has been made
        "training.steps": 1,  # of diffusion, which is not looked at
        "training.warmup_steps": 0,
        "training.end_to_end_steps": steps,
        "evaluation.s0_tasks": 26,
    }
    if name != ALL:
        share = {kind: 0.5 if kind == name else 0.0 for kind in KINDS}
        changes |= {f"data.transform.{kind}": value for kind, value in share.items()}
    return experiment.change(configs.load(str(CONFIG)), changes)


def cells(row: dict[str, Any], rows: list[dict[str, Any]], splits: list[str]) -> list[Any]:
    """Return a row of the table: accuracy, and how much of it the transformations brought."""
    plain = next(r for r in rows if r["tasks with"] == NONE and r["seed"] == row["seed"])
    found = [row["tasks with"], row["seed"]]
    for split in splits:
        for shots in map(str, one_pass.SHOTS):
            own, without = (100 * np.array(r["accuracy"][split][shots]) for r in (row, plain))
            text = f"{own.mean():.1f}"
            if row is not plain:
                gain, (low, high) = statistics.paired_gain(own[:, None], without[:, None])
                text += f" {gain:+.1f} ({low:.1f} to {high:.1f})"
            found.append(text)
    return found


if __name__ == "__main__":
    leave(explained(main))
