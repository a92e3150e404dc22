"""How a learned optimizer's gradient is found: backpropagation, evolution, persistent evolution.

After equal numbers of steps on the demo's tasks, each with eight trainings; a step by evolution
follows twice as many, in antithetic pairs. Also the MLP that is given momenta, by backpropagation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.ancestors import demo_tasks
from benchmarks.ancestors.functions import train
from mole_jax.learners.ancestors import l2l
from mole_jax.learners.ancestors.l2l import L2LConfig
from mole_jax.training import spent

STEPS = 200
KINDS = {
    "LSTM, backpropagation": L2LConfig(),
    "LSTM, evolution": L2LConfig(estimator="es"),
    "LSTM, persistent evolution": L2LConfig(estimator="pes"),
    "MLP, backpropagation": L2LConfig(kind="mlp", scale=30.0),
}


def run(folder: Path, seed: int, shorter: int = 1) -> list[dict[str, Any]]:
    """Train by each, and judge the networks after `unroll` steps of each optimizer."""
    rows = []
    for name, config in KINDS.items():
        learner = l2l.build(config, demo_tasks.network(), l2l.NAME)
        own = folder / f"{config.kind}_{config.estimator}_{seed}"
        steps = STEPS // shorter
        state = train(learner, demo_tasks.source(config.batch_size), own, seed=seed, steps=steps,
                      rate=3e-3, gradient_clip=1.0)  # fmt: skip
        judged = demo_tasks.judge(learner, state.ema, seed)
        rows.append(
            {
                "optimizer": name, "meta_steps": steps, "seconds": spent.seconds(own),
                "unroll": config.unroll, **judged._asdict(), "seed": seed,
            }
        )  # fmt: skip
    return rows
