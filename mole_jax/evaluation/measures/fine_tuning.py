"""How far a start shortens training: Adam from predicted weights and from those of baselines."""

from __future__ import annotations

import numpy as np

from mole_jax.evaluation.baselines import adam
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.parts import Done, Found

# A start has arrived when its test loss is at most this many times Adam's final loss on that task.
NEARLY = 1.1


def continued(bench: Bench, split: str, done: Done) -> Found:
    """Steps to target by kind of start, for the first start of every task.

    The target is 1.1 times the median over starts of Adam's final test loss on that task; Adam has
    its chosen learning rate. `random` is the Adam baseline itself. A start that does not arrive
    within Adam's steps counts with the last step and as censored.

    Returns:
        steps: [S]; NAME: [T] steps to target; NAME_censored: [T] bool.
    """
    cases = bench.splits[split]
    trained = done[f"adam.{split}"]
    copies = done[f"copies.{split}"]
    starts = {"generated": done[f"generated.diffusion.{split}"]["parameters"][:, 0]}
    if "regression" in bench.predictors:
        starts["regression"] = done[f"generated.regression.{split}"]["parameters"][:, 0]
    starts |= {name: copies[name][:, 0] for name in ("retrieval", "soup")}

    stacked = np.stack(list(starts.values()), axis=1)  # [T, M, D]
    rates = np.full(stacked.shape[:2], done["adam.choice"]["chosen"], np.float32)
    curves = adam.run(bench, cases.tasks, stacked, rates, bench.key("fine tuning"))
    losses = {name: curves.metrics["test_loss"][:, i] for i, name in enumerate(starts)}
    losses = {"random": trained["test_loss"][:, 0], **losses}  # [T, S]

    target = NEARLY * np.median(trained["test_loss"][:, :, -1], axis=1)  # [T]
    result: Found = {"steps": curves.steps}
    for name, loss in losses.items():
        reached = loss <= target[:, None]
        arrived = reached.any(axis=1)
        first = np.where(arrived, reached.argmax(axis=1), len(curves.steps) - 1)
        result |= {name: curves.steps[first], f"{name}_censored": ~arrived}
    return result
