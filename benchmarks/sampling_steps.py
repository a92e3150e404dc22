"""How many sampling steps are worth their time: accuracy on training tasks, step by step.

    python -m benchmarks.sampling_steps --workdir=runs/glyphs

It looks at a workdir whose evaluation has begun, and leaves it as it is. The tasks are those on
which an evaluation makes its choices, so that a number of steps can be chosen by them. Each has
one support set and several networks; differences are paired by task.

Writes benchmarks/results/sampling_steps.json, an entry for each workdir's name.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.sampling import sampling
from mole_jax.core.errors import UserError
from mole_jax.core.program import compiled, stages
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage.paths import user_path
from mole_jax.evaluation.harness.context import CHOICE, EvalContext, load_context
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import few_shot
from mole_jax.evaluation.measures.ensembles import with_many_starts
from mole_jax.evaluation.measures.support_sizes import fewer
from mole_jax.metamodel.process.sampler import Plan

STEPS = (1, 2, 5)  # the last is what others are compared with
SHOTS = (1, 5, 10)
NETWORKS = 8


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", type=user_path, required=True, help="of an evaluation")
    flags = parser.parse_args()
    try:
        with compiled.kept():
            rows = compared(flags.workdir)
    except UserError as error:
        sys.exit(f"error: {error}")
    head = list(rows[0])
    print(machine.table(head, [[row[name] for name in head] for row in rows]))
    known = machine.known("sampling_steps", "models")
    machine.write("sampling_steps", models=known | {flags.workdir.name: rows})


def compared(workdir: Path) -> list[dict[str, Any]]:
    """Return a row for each number of shots and of steps: percentages, nats, and intervals."""
    if not stages.is_begun(workdir, "evaluate"):
        raise UserError(f"--workdir={workdir} holds no evaluation")
    context = load_context(stages.record(workdir, "evaluate")["config"], workdir)
    if not context.family.labelled or "diffusion" not in context.learners:
        raise UserError(f"--workdir={workdir} holds no diffusion model of labelled tasks")
    context = dataclasses.replace(context, splits={CHOICE: context.choice})
    episodes = with_many_starts(context, CHOICE, np.arange(len(context.choice.tasks)), NETWORKS)
    rows = []
    for shots in SHOTS:
        found = {steps: _judged(context, episodes, shots, steps) for steps in STEPS}
        for steps, judged in found.items():
            row: dict[str, Any] = {"shots": shots, "steps": steps, "tasks": len(episodes.tasks)}
            for name, values, base in (
                ("one network", judged.single, found[STEPS[-1]].single),
                (f"mean of {NETWORKS}", judged.together, found[STEPS[-1]].together),
            ):
                for unit, i, scale in (("%", 0, 100), ("nats", 1, 1)):
                    apart = scale * (values[i] - base[i])
                    within = 1.96 * apart.std(ddof=1) / len(apart) ** 0.5
                    row[f"{name}, {unit}"] = round(float(scale * values[i].mean()), 4)
                    row[f"less {STEPS[-1]}, {name}, {unit}"] = (
                        f"{apart.mean():+.3g} +- {within:.2g}"
                    )
            rows.append(row)
    return rows


def _judged(context: EvalContext, episodes: Any, shots: int, steps: int) -> few_shot.Judged:
    learner = sampling(context.learners["diffusion"], Plan("ddim", steps))
    context = dataclasses.replace(context, learners={**context.learners, "diffusion": learner})
    shown = fewer(episodes, shots, context.family.n_classes)
    prompt = None if context.measuring("diffusion").asks_best else 0.0
    flat = predict(context, "diffusion", shown, prompt, context.key("sampling steps"))
    pools = few_shot.pools_of(context, "test", episodes.tasks)
    return few_shot.judge(few_shot.class_probabilities(context, flat, shown), pools)


if __name__ == "__main__":
    leave(explained(main))
