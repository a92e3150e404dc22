"""Which kinds of training data make a learner of other kinds.

    python -m benchmarks.training_data --folder=runs/training_data

A model of `configs/glyphs_cnn.py` is trained end to end on characters of fonts, on made-up ones
that hands draw, on silhouettes, and on several of them. It is judged on sources of which it saw
nothing (S3): the others of the three, scikit-learn's digits, and clothes (Fashion-MNIST brought to
8x8 as digits were, by means of 4x4 pixels). Digits' and clothes' tasks are the same in all rows.

A training that is done is read and not run again. Writes benchmarks/results/training_data.json.
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

CONFIG = Path(__file__).parents[1] / "configs" / "glyphs_cnn.py"
SOURCES = ("glyphs", "strokes", "silhouettes")
KINDS = (
    ("glyphs", "strokes"),  # the first is what others are compared with
    SOURCES,
    *((source,) for source in SOURCES),
    ("glyphs", "silhouettes"),
)
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
            for kinds in KINDS:
                config = configured(kinds, images, seed, flags.steps)
                place = flags.folder / f"{'_'.join(kinds)}_{seed}_{flags.steps}"
                accuracy = one_pass.judged(config, place, LEARNER)
                rows.append({"trained on": " + ".join(kinds), "seed": seed, "accuracy": accuracy})
    except UserError as error:
        sys.exit(f"error: {error}")
    judges = [f"S3-{name}" for name in ("digits", images.stem, *SOURCES)]
    heads = [f"{judge} @ {shots}" for judge in judges for shots in one_pass.SHOTS]
    print(machine.table(("trained on", "seed", *heads), [cells(r, rows, judges) for r in rows]))
    machine.write("training_data", steps=flags.steps, rows=rows)


def configured(kinds: tuple[str, ...], images: Path, seed: int, steps: int) -> Any:
    """Return the experiment that trains on these kinds of data."""
    others = [source for source in SOURCES if source not in kinds]
    changes: dict[str, Any] = {
        "seed": seed,
        # What all are judged on comes first, so that its tasks do not depend on the others.
        "data.source": "+".join(("digits", f"npz:{images}", *SOURCES)),
        "data.held_out_sources": "+".join(("digits", images.stem, *others)),
        "data.held_out_classes": 0,
        "data.unseen_class_subsets": 0,
        "data.max_per_class": {"train": 400, "support": 200, "validation": 100, "test": 200},
        "data.train_subsets": 512,
        "population.steps": 100,  # the zoo says how large weights are, and no more
        "population.snapshots": 4,
        "training.steps": 1,  # of diffusion, which is not looked at
        "training.warmup_steps": 0,
        "training.end_to_end_steps": steps,
        "evaluation.s0_tasks": 26,
    }
    return experiment.change(configs.load(str(CONFIG)), changes)


def cells(row: dict[str, Any], rows: list[dict[str, Any]], judges: list[str]) -> list[Any]:
    """Return a row of the table: accuracy, and how far it is above the first of its seed."""
    base = next(r for r in rows if r["seed"] == row["seed"])
    found = [row["trained on"], row["seed"]]
    for judge in judges:
        for shots in map(str, one_pass.SHOTS):
            if judge not in row["accuracy"]:  # it was trained on
                found.append("")
                continue
            own = 100 * np.array(row["accuracy"][judge][shots])
            text = f"{own.mean():.1f}"
            # Those of the three sources are not judged on the same tasks.
            if row is not base and judge.removeprefix("S3-") not in SOURCES:
                other = 100 * np.array(base["accuracy"][judge][shots])
                gain, (low, high) = statistics.paired_gain(own[:, None], other[:, None])
                text += f" {gain:+.1f} ({low:.1f} to {high:.1f})"
            found.append(text)
    return found


if __name__ == "__main__":
    leave(explained(main))
