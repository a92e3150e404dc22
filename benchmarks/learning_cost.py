"""What it costs to learn a new task from a few examples, beside how well it is learned.

    python -m benchmarks.learning_cost --workdir=runs/glyphs_cnn

It looks at a workdir whose few-shot evaluation is done (`configs/glyphs_cnn.py` makes one), and
leaves it as it is. The cost of a task is all that happens once its examples are there. MOLE's
learners encode them and write a network. Adam trains one on them at the rate and for the number of
steps that were chosen on training tasks; the search for both is not counted, its minibatches are no
larger than the support set, and networks are not measured on the way. The
classical learners are fitted and answer about the test pool, which is all that the nearest
neighbour does; they run one after another. All of it on one device.

Writes benchmarks/results/learning_cost.json, an entry for each workdir's name.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from mole_jax.core import rng
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage.paths import user_path
from mole_jax.evaluation.baselines import training
from mole_jax.evaluation.baselines.adam_support import AdamSupport
from mole_jax.evaluation.harness import prediction
from mole_jax.evaluation.harness.context import EvalContext, load_context
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.kept import read_all
from mole_jax.evaluation.harness.measure import Results
from mole_jax.evaluation.measures import few_shot, fixed_prompt
from mole_jax.evaluation.measures.support_sizes import fewer
from mole_jax.population.member import Recipe
from mole_jax.sampling import writing

BATCHES = (64, 1)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", type=user_path, required=True, help="of a few-shot evaluation")
    parser.add_argument("--split", default="", help="whose tasks; the last one when left out")
    parser.add_argument("--rounds", type=int, default=5, help="of timing; the fastest counts")
    flags = parser.parse_args()
    try:
        context, results, split = load(flags.workdir, flags.split)
        rows = measured(context, results, split, flags.rounds)
    except UserError as error:
        sys.exit(f"error: {error}")
    head = ("examples a class", "learner", "accuracy", "Adam's steps", "ms a task, 64 at once",
            "Adam's / its", "ms alone", "Adam's / its")  # fmt: skip
    print(machine.table(head, [cells(row, rows) for row in rows]))
    known = machine.known("learning_cost", "models")
    own = {flags.workdir.name: {"split": split, "rows": rows}}
    machine.write("learning_cost", batches=BATCHES, models=known | own)


def load(workdir: Path, split: str) -> tuple[EvalContext, Results, str]:
    """Load a workdir on one device, with what its evaluation has kept of few shots."""
    if not stages.is_done(workdir, "evaluate"):
        raise UserError(
            f"--workdir={workdir} holds no finished evaluation: "
            "`python -m mole_jax.main --config=configs/glyphs_cnn.py` makes one"
        )
    context = load_context(stages.record(workdir, "evaluate")["config"], workdir)
    split = split or list(context.splits)[-1]
    if split not in context.splits:
        raise UserError(f"--split={split} is not there: choose from {', '.join(context.splits)}")
    mesh = mesh_lib.first_device()
    alone = {k: dataclasses.replace(p, mesh=mesh) for k, p in context.learners.items()}
    context = dataclasses.replace(context, mesh=mesh, learners=alone)
    measures = [fixed_prompt.MEASURE, few_shot.CHOSEN, few_shot.MEASURE]
    return context, read_all(workdir / "evaluate" / "results", context, measures), split


def measured(
    context: EvalContext, results: Results, split: str, rounds: int
) -> list[dict[str, Any]]:
    """Return accuracy and seconds a task of every learner, at every number of shots."""
    found = results.of(few_shot.MEASURE, split)
    chosen = results.of(few_shot.CHOSEN)
    names, rows = found.methods.tolist(), []
    for i, shots in enumerate(found.shots.tolist()):
        shown = fewer(context.splits[split].first(), shots, context.family.n_classes)
        seconds = {n: timed(context, results, shown, chosen, i, n, rounds) for n in BATCHES}
        trained = dict(zip(few_shot.adams(context), chosen.adam[i], strict=True))
        for m, name in enumerate(names):
            row: dict[str, Any] = {"shots": shots, "learner": name}
            if name in trained:
                row["steps"] = int(trained[name][2])
            row["accuracy"] = float(found.single[i, m, 0].mean())
            # Classical learners take one task after another, however many there are.
            row["seconds_per_task"] = {
                str(n): of.get(name, seconds[1].get(name)) for n, of in seconds.items()
            }
            rows.append(row)
        print(f"{shots} a class: done", flush=True)
    return rows


def timed(
    context: EvalContext,
    results: Results,
    shown: EpisodeGrid,
    chosen: few_shot.Chosen,
    i: int,
    n: int,
    rounds: int,
) -> dict[str, float]:
    """Return seconds a task of every learner, with n tasks at once."""
    rows = np.resize(np.arange(len(shown.tasks)), n)
    sides: dict[Any, Callable[[], Any]] = {
        name: _predicting(context, results, name, shown, rows) for name in context.learners
    }
    for (name, (_, copies)), (rate, _, last) in zip(
        few_shot.adams(context).items(), chosen.adam[i], strict=True
    ):
        own = few_shot.seen(context, shown, copies)
        sides[name] = _training(context, own, rows, float(rate), int(last))
    if n == 1:
        sides |= _fitting(context, shown, chosen.classical[i])
    seconds: dict[Any, float] = machine.in_turn(sides, rounds)
    return {name: s / n for name, s in seconds.items()}


def _predicting(
    context: EvalContext, results: Results, name: str, shown: EpisodeGrid, rows: np.ndarray
) -> Callable[[], jax.Array]:
    # As many in a call as users' are.
    parts = -(-len(rows) // writing.at_once(context.family.network))
    rows = rows[: -(-len(rows) // parts)]
    predictor = dataclasses.replace(context.learners[name], batch=len(rows))
    row = prediction.seen(predictor, shown.first(rows))
    asked = fixed_prompt.of(context.measuring(name), results)
    target = np.full(len(rows), asked or 0.0, np.float32)
    key = rng.named(context.root, "benchmark")
    best = asked is None

    def call() -> jax.Array:
        of_each = [prediction.call(predictor, row, target, key, best=best) for _ in range(parts)]
        return of_each[-1]

    return call


def _training(
    context: EvalContext, shown: EpisodeGrid, rows: np.ndarray, rate: float, steps: int
) -> Callable[[], Any]:
    support = jax.tree.map(lambda x: x[rows, 0], shown.support)
    recipe = training.recipe(context, 2)
    assert isinstance(recipe, Recipe)  # examples with labels are not trained on by PPO
    recipe = dataclasses.replace(
        recipe,
        snapshot_steps=tuple(sorted({0, steps})),
        batch_size=min(recipe.batch_size, int(support.mask.sum(-1).max())),
        measured=(),
    )
    return lambda: training.train(
        context, recipe, shown.tasks[rows], rng.named(context.root, "benchmark"), rows,
        shown.starts[rows, :1], np.full((len(rows), 1), rate, np.float32),
        members=1, groups=len(rows), dataset=support,
    )  # fmt: skip


def _fitting(
    context: EvalContext, shown: EpisodeGrid, chosen: np.ndarray
) -> dict[str, Callable[[], Any]]:
    inputs, labels, mask = (x[0, 0] for x in shown.support[:3])
    x, y, task = inputs[mask], labels[mask], int(shown.tasks[0])
    query, _, there, _ = context.family.device_data.pool("test", task)
    asked, k = np.asarray(query)[np.asarray(there)], int(context.family.classes_of_tasks[task])
    return {
        of.name: lambda of=of, s=setting: of.scores(x, y, k, asked, s)  # type: ignore[misc]
        for of, (setting, _) in zip(few_shot.classical(context), chosen, strict=True)
    }


def cells(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[Any]:
    """Return a row of the table."""
    adam = next(r for r in rows if (r["shots"], r["learner"]) == (row["shots"], AdamSupport.name))
    found = [row["shots"], row["learner"], f"{row['accuracy']:.1%}", row.get("steps", "")]
    for n in map(str, BATCHES):
        own = row["seconds_per_task"][n]
        found += [1e3 * own, adam["seconds_per_task"][n] / own]
    return found


if __name__ == "__main__":
    leave(explained(main))
