"""Is it worth to let mutation evolve? A learning rule, at equal numbers of evaluations.

Schmidhuber 1987 evolved how evolution varies its programs, and had no benchmark. The claim that is
tried here: a rule whose mutation sizes evolve with it ends better than one whose mutation is fixed,
whatever size that has. Tasks are the demo's: five of ten digits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.ancestors import demo_tasks
from benchmarks.ancestors.functions import train
from mole_jax.learners.ancestors import evolved
from mole_jax.learners.ancestors.evolved import EvolvedConfig

SIGMAS = (0.003, 0.01, 0.03, 0.1)
GENERATIONS = 300


def run(folder: Path, seed: int, shorter: int = 1) -> list[dict[str, Any]]:
    """Evolve rules with and without evolving mutation, from every size."""
    rows, generations = [], GENERATIONS // shorter
    for sigma in SIGMAS:
        for evolve in (True, False):
            own = EvolvedConfig(sigma=sigma, evolve_sigma=evolve)
            learner = evolved.build(own, demo_tasks.network(), evolved.NAME)
            source = demo_tasks.source(own.batch_size)
            place = folder / f"evolved_{sigma:g}_{'evolving' if evolve else 'fixed'}_{seed}"
            state = train(learner, source, place, seed=seed, steps=generations, rate=1.0,
                          plain=True)  # fmt: skip
            judged = demo_tasks.judge(learner, state.params, seed)
            lines = (place / "metrics.jsonl").read_text().splitlines()
            rows.append(
                {
                    "sigma": sigma, "evolving": evolve, "generations": generations, "seed": seed,
                    "evaluations": generations * own.population * own.batch_size,
                    **judged._asdict(),
                    "curve": [json.loads(line)["best"] for line in lines],
                }
            )  # fmt: skip
    return rows
