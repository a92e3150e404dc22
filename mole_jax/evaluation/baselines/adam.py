"""Adam on the zoo's training pool, from the same starts: what generation is measured against."""

from __future__ import annotations

import jax
import numpy as np

from mole_jax.evaluation.baselines import training
from mole_jax.evaluation.baselines.training import Curves
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.parts import Done, Found

# Ways to start that `fine_tuning` compares; its trainings share the compiled function with Adam's.
FINE_TUNING_STARTS = 4


def choose(bench: Bench, done: Done) -> Found:
    """The learning rate with the lowest mean final validation loss on training subsets."""
    rates = np.array(bench.settings["adam_rates"])
    cases = bench.choice
    starts = np.repeat(cases.starts[:, :1], len(rates), axis=1)
    each = np.broadcast_to(rates, (len(cases.tasks), len(rates)))
    curves = run(bench, cases.tasks, starts, each, bench.key("adam"))
    loss = np.nan_to_num(curves.metrics["validation_loss"][:, :, -1].mean(0), nan=np.inf)
    return {
        "rates": rates,
        "validation_loss": loss,
        "chosen": rates[np.argmin(loss)],
    }


def from_starts(bench: Bench, split: str, done: Done) -> Found:
    """Adam's loss curves [T, N, S] and final scores [T, N] from the starts of a split."""
    cases = bench.splits[split]
    rates = np.full(cases.shape, done["adam.choice"]["chosen"], np.float32)
    curves = run(bench, cases.tasks, cases.starts, rates, bench.key("adam"))
    return {
        "steps": curves.steps,
        "test_loss": curves.metrics["test_loss"],
        "validation_loss": curves.metrics["validation_loss"],
        "test_score": curves.metrics["test_score"][..., -1],
        "seconds_per_network": curves.seconds_per_network,
    }


def run(
    bench: Bench, tasks: np.ndarray, starts: np.ndarray, rates: np.ndarray, key: jax.Array
) -> Curves:
    """Train from starts [T, M, D] with rates [T, M] on the training pool of tasks [T].

    Networks of a task share minibatches, which depend on the key and the task alone.
    """
    settings = bench.settings
    return training.train(
        bench,
        training.recipe(bench, settings["curve_points"]),
        tasks,
        key,
        tasks,
        starts,
        rates,
        members=max(settings["starts"], len(settings["adam_rates"]), FINE_TUNING_STARTS),
        # Two calls or more for the usual number of tasks: one of them is free of compilation.
        groups=min(bench.config["zoo"]["subsets_per_group"], -(-settings["s0_tasks"] // 2)),
    )
