"""How far a start shortens training: Adam from predicted weights and from those of baselines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mole_jax.evaluation.baselines import adam, retrieval, soup
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.evaluation.measures import generated

# A start has arrived when its test loss is at most this many times Adam's final loss on that task.
NEARLY = 1.1


class FineTuned(NamedTuple):
    """Steps to target by kind of start, for the first start of every task."""

    kinds: np.ndarray  # [kinds]
    steps: np.ndarray  # [kinds, T]
    censored: np.ndarray  # [kinds, T] bool: did not arrive, counted at the last step


def continued(context: EvalContext, split: str, results: Results) -> FineTuned:
    """Continue training with Adam, at its chosen learning rate.

    The target is 1.1 times the median over starts of Adam's final test loss on that task. `random`
    is the Adam baseline itself. A start that does not arrive within Adam's steps counts at the last
    step and as censored.
    """
    trained = results.of(adam.MEASURE, split)
    found = {"generated": results.of(generated.MEASURE, split).parameters}
    for name in context.others:
        found[name] = results.of(generated.MEASURE, split, name).parameters
    found["retrieval"] = results.of(retrieval.MEASURE, split).parameters
    found["soup"] = results.of(soup.MEASURE, split).parameters

    starts = np.stack([flat[:, 0] for flat in found.values()], axis=1)  # [T, M, D]
    rates = np.full(starts.shape[:2], results.of(adam.RATE).chosen, np.float32)
    tasks = context.splits[split].tasks
    curves = adam.run(context, tasks, starts, rates, context.key("fine tuning"))
    loss = np.concatenate(
        [trained.test_loss[:, :1], curves.metrics["test_loss"]], axis=1
    )  # [T, kinds, S]
    target = NEARLY * np.median(trained.test_loss[:, :, -1], axis=1)  # [T]
    reached = np.moveaxis(loss <= target[:, None, None], 1, 0)  # [kinds, T, S]
    arrived = reached.any(axis=-1)
    first = np.where(arrived, reached.argmax(axis=-1), len(curves.steps) - 1)
    return FineTuned(np.array(["random", *found]), curves.steps[first], ~arrived)


def _record(context: EvalContext, split: str, results: Results) -> Record:
    found = {
        str(kind): {"median_steps": float(np.median(steps)), "censored": float(censored.mean())}
        for kind, steps, censored in zip(*results.of(MEASURE), strict=True)
    }
    return {"fine_tuning": found}


MEASURE = Measure(
    "fine_tuning",
    FineTuned,
    continued,
    "main split",
    needs=(adam.RATE, adam.MEASURE, generated.MEASURE, retrieval.MEASURE, soup.MEASURE),
    record=_record,
)
