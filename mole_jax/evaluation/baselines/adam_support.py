"""Adam on nothing but the support set: the same data that the meta-model is shown."""

from __future__ import annotations

import jax
import numpy as np

from mole_jax.evaluation.baselines import training
from mole_jax.evaluation.baselines.training import Curves
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.cases import Cases
from mole_jax.evaluation.parts import Done, Found

# Numbers of steps among which the best is chosen.
_POINTS = 12
_GROUPS = 52


def choose(bench: Bench, done: Done) -> Found:
    """Learning rate and number of steps with the lowest mean validation loss on training subsets.

    Too many steps overfit a support set, and the number found here is the early stopping that
    someone with other data subsets at hand would use.
    """
    rates = np.array(bench.settings["adam_rates"])
    cases = bench.choice
    loss = []
    for rate in rates:
        curves = run(bench, cases, rate, bench.key("adam_support"))
        loss.append(curves.metrics["validation_loss"].mean((0, 1)))  # [S]
    table = np.nan_to_num(np.array(loss), nan=np.inf)  # [rates, S]
    best_rate, best_step = np.unravel_index(np.argmin(table), table.shape)
    return {
        "rates": rates,
        "steps": curves.steps,
        "validation_loss": table,
        "chosen": rates[best_rate],
        "chosen_snapshot": best_step,
        "chosen_steps": curves.steps[best_step],
    }


def from_starts(bench: Bench, split: str, done: Done) -> Found:
    """Test loss and score [T, N] of the chosen training from the starts of a split."""
    chosen = done["adam_support.choice"]
    curves = run(bench, bench.splits[split], chosen["chosen"], bench.key("adam_support"))
    at = int(chosen["chosen_snapshot"])
    return {name: curves.metrics[name][..., at] for name in ("test_loss", "test_score")}


def run(bench: Bench, cases: Cases, rate: np.ndarray, key: jax.Array) -> Curves:
    """Train every case on its own support set: curves [T, N, S]."""
    n_tasks, n_starts = cases.shape
    each = n_tasks * n_starts
    curves = training.train(
        bench,
        training.recipe(bench, _POINTS),
        np.repeat(cases.tasks, n_starts),
        key,
        np.arange(each),
        cases.starts.reshape(each, 1, -1),
        np.full((each, 1), rate, np.float32),
        members=1,
        groups=min(bench.config["zoo"]["subsets_per_group"], _GROUPS),
        dataset=jax.tree.map(lambda x: x.reshape(each, *x.shape[2:]), cases.support),
    )
    metrics = {name: value.reshape(n_tasks, n_starts, -1) for name, value in curves.metrics.items()}
    return Curves(curves.steps, metrics, curves.seconds_per_network)
