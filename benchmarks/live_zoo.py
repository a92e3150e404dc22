"""A live zoo against fixed ones: quality on unseen data subsets, and novelty, at equal compute.

    S="--config.training.regression_steps=0 --config.representation.align=False"
    python -m mole_jax.main --config=configs/digits_mlp.py --workdir=runs/fixed $S
    python -m mole_jax.main --config=configs/digits_mlp.py:live --workdir=runs/live $S
    python -m mole_jax.main --config=configs/digits_mlp.py --workdir=runs/half $S \\
        --config.population.members=4
    python -m benchmarks.live_zoo runs/fixed runs/live runs/half

It looks at workdirs whose evaluation is done, and leaves them as they are. Novelty is taken against
all runs that a meta-model has ever been trained on: those of a live zoo that are gone are trained
once more, which gives the same ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage.paths import user_path
from mole_jax.evaluation.harness import copying
from mole_jax.evaluation.harness.context import EvalContext, load_context
from mole_jax.evaluation.harness.kept import read_all
from mole_jax.evaluation.measures import generated, novelty
from mole_jax.training import data as data_lib
from mole_jax.training import live

COUNT = 400  # generated and held-out networks that distances are measured of, at most


def main() -> None:
    """Read each workdir, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workdirs", nargs="+", type=user_path)
    flags = parser.parse_args()
    rows, found = [], {}
    for workdir in flags.workdirs:
        try:
            record = of_workdir(workdir)
        except UserError as error:
            sys.exit(f"error: {error}")
        found[workdir.name] = record
        for split, q in record["splits"].items():
            low, high = q["interval"]
            rows.append(
                [
                    workdir.name,
                    record["runs"],
                    split,
                    f"{q['score']:.2%} ({low:.1%} - {high:.1%})",
                    f"{100 * q['regret']:.2f}",
                    f"{q['loss']:.4f}",
                    f"{q['r2']:.3f}",
                    f"{q['rho']:.3f}",
                    f"{q['z_u']:.1f}",
                ]
            )
    head = ("workdir", "runs", "split", "score", "regret, points", "loss", "R2", "rho", "Z_U")
    print(machine.table(head, rows))
    machine.write("live_zoo", workdirs=found)


def of_workdir(workdir: Path) -> dict[str, Any]:
    """Return an experiment's results, and how many runs its meta-model was trained on.

    Raises:
        UserError: where its evaluation is not done.
    """
    if not stages.is_done(workdir, "evaluate"):
        raise UserError(f"{workdir} holds no finished evaluation")
    config = stages.record(workdir, "evaluate")["config"]
    context = load_context(config, workdir)
    references = np.concatenate([context.training.final, once(context)])
    evaluation = json.loads((workdir / "report" / "evaluation.json").read_text())
    results = read_all(workdir / "evaluate" / "results", context, [generated.MEASURE])
    splits = {}
    for split in context.splits:
        record = evaluation["splits"][split]
        predicted = results.of(generated.MEASURE, split).parameters
        predicted = predicted.reshape(-1, references.shape[1])
        held_out = context.zoo.parameters(context.zoo.select(split=split, finite=True), [-1])[:, 0]
        ours, theirs = (
            copying.nearest(units(context, some), units(context, references))
            for some in (spread(predicted), spread(held_out))
        )
        splits[split] = {
            "score": record["generated"]["mean"],
            "interval": record["generated"]["ci95"],
            "loss": record["generated"]["loss_mean"],
            "regret": record["regret_mean"],
            "r2": record["prompt_alignment"]["r2_mean"],
            "rho": copying.rho(ours, theirs),
            "z_u": copying.z_u(ours, theirs),
        }
    return {
        "seed": config["seed"],
        "runs": len(references),
        "live": config["zoo"]["live"],
        "training_steps": config["training"]["steps"],
        "seconds": evaluation["seconds"],
        "splits": splits,
    }


def once(context: EvalContext) -> np.ndarray:
    """Return the last snapshots of the runs that a live zoo had besides the stored ones: [n, D]."""
    config, mesh = context.config, mesh_lib.first_device()
    size = context.family.network.spec.size
    if not config["zoo"]["live"]:
        return np.zeros((0, size), np.float32)
    runs = data_lib.read(context.zoo, context.family, "host")
    zoo = live.make(config, context.family, runs, mesh)
    kept = []
    # The last step is taken with what the one before it had.
    for number in range(zoo.schedule.made(config["training"]["steps"] - 1)):
        found, finite = live.train_group(zoo, number, mesh)
        assert found.parameters is not None  # it has not been streamed
        last = runs.normaliser.denormalise(found.parameters[:, -1])
        kept.append(np.asarray(last)[np.asarray(finite)])
        print(f"{len(kept)} groups trained once more", file=sys.stderr)
    jax.clear_caches()
    return np.concatenate(kept) if kept else np.zeros((0, size), np.float32)


def units(context: EvalContext, rows: np.ndarray) -> np.ndarray:
    """Return hidden units [n, H, F] of networks [n, D]."""
    return novelty.units(context.family.network, rows)


def spread(rows: np.ndarray) -> np.ndarray:
    """Return at most COUNT of the finite rows, evenly spaced."""
    rows = rows[np.isfinite(rows).all(1)]
    return rows[np.unique(np.linspace(0, len(rows) - 1, COUNT).round().astype(int))]


if __name__ == "__main__":
    leave(explained(main))
