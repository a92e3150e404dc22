"""The arrays that the report's figures draw."""

from __future__ import annotations

import numpy as np

from mole_jax.evaluation import result
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.parts import Done, Found

# Learning curves drawn, evenly spread over the zoo.
MOST_RUNS = 400


def arrays(bench: Bench, done: Done) -> Found:
    """All arrays by name, those of predictions for the main split."""
    split = bench.main
    cases, training = bench.splits[split], bench.training
    generated, trained = done[f"generated.diffusion.{split}"], done[f"adam.{split}"]
    followed, far = done[f"prompts.{split}"], done[f"distances.{split}"]
    names = result.baseline_names(bench)
    # Each network has a grid of its own, since its start has a loss of its own; a figure has one.
    asked = np.concatenate([followed["grid_prompts"], followed["table_prompts"]], axis=1)
    achieved = [followed["grid_test_metric"], followed["table_test_metric"]]
    order = np.argsort(np.median(asked, axis=0), kind="stable")
    return {
        **_zoo_curves(bench),
        "prompts": np.median(asked, axis=0)[order],
        "achieved_loss": np.concatenate(achieved, axis=1)[:, order],
        "prompt_metric": np.array(bench.metric.words),
        "zoo_loss_range": np.array([training.lowest, training.highest]),
        "task_ids": np.array([bench.family.subsets[i].id for i in cases.tasks]),
        "generated_score": generated["test_score"].mean(1),
        "adam_score": trained["test_score"].mean(1),
        "baseline_names": np.array(names),
        "baseline_score": np.stack(
            [result.baseline(done, split, name)[0].mean(1) for name in names]
        ),
        **done["trajectories"],
        "novelty_generated": far["generated"],
        "novelty_heldout": far["held_out"],
        "support_sizes": done["support_sizes"]["sizes"],
        "support_score": done["support_sizes"]["score"],
        "adam_curve_steps": trained["steps"],
        "adam_curve_loss": np.median(trained["test_loss"], axis=(0, 1)),
        "generated_loss_median": np.median(generated["test_loss"]),
    }


def _zoo_curves(bench: Bench) -> dict[str, np.ndarray]:
    runs = bench.zoo.select(finite=True)
    if len(runs) > MOST_RUNS:
        runs = runs[np.linspace(0, len(runs) - 1, MOST_RUNS).round().astype(int)]
    return {
        "zoo_steps": bench.zoo.steps,
        "zoo_loss": bench.metric.of_runs(bench.zoo, runs),
        "zoo_split": bench.zoo.runs["split"][runs].astype(str),
    }
