"""The final networks of a zoo's training runs, which baselines may copy."""

from __future__ import annotations

import dataclasses

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.zoo.prompt_metric import PromptMetric
from mole_jax.zoo.storage.reader import Zoo
from mole_jax.zoo.storage.schema import PROMPT_METRIC


@dataclasses.dataclass(frozen=True, eq=False)
class ZooFinals:
    """The last snapshots of the zoo's finite training runs."""

    runs: np.ndarray  # [R]
    subset: np.ndarray  # [R]
    final: np.ndarray  # [R, D] the last snapshots
    selection_loss: np.ndarray  # [R] what they are ranked by: see `_selection_loss`
    scale: np.ndarray  # [D] each tensor's standard deviation over all snapshots
    # In the prompt metric:
    median_final: float
    best: float  # of all snapshots
    lowest: float
    highest: float


def of_zoo(zoo: Zoo, metric: PromptMetric, scale: np.ndarray) -> ZooFinals:
    """Return the finite training runs of a zoo.

    Args:
        zoo: the zoo.
        metric: the prompt metric.
        scale: [D] each tensor's standard deviation over all snapshots.

    Raises:
        UserError: if there are too few runs to copy from.
    """
    runs = zoo.select(split="train", finite=True)
    subset = zoo.runs["subset"][runs]
    # Baselines copy from data subsets other than an episode's own, or from other runs of the only
    # task.
    if len(np.unique(subset)) < 2 and (len(zoo.schema.tasks) > 1 or len(runs) < 2):
        raise UserError(
            f"{zoo.path} has finite training runs of {len(np.unique(subset))} data subsets; "
            "evaluation needs at least two, so raise data.train_subsets; or two runs, if the zoo "
            "has one task"
        )
    values = metric.of_runs(zoo, runs)  # [R, S]
    sign = -1 if metric.larger_is_better else 1
    return ZooFinals(
        runs=runs,
        subset=subset,
        final=zoo.parameters(runs, [-1])[:, 0],
        selection_loss=_selection_loss(zoo, runs, sign * values[:, -1]),
        scale=scale,
        median_final=float(np.median(values[:, -1])),
        best=float(sign * (sign * values).min()),
        lowest=float(values.min()),
        highest=float(values.max()),
    )


def _selection_loss(zoo: Zoo, runs: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Return the final validation loss of runs, [R], or `otherwise` if the zoo has none.

    The prompt metric will not do: it may be of the test pool, and copying the run with the lowest
    test error of a thousand would be choosing on the test pool.
    """
    if PROMPT_METRIC not in zoo.schema.metrics:
        return otherwise
    return zoo.metric(PROMPT_METRIC, runs)[:, -1]
