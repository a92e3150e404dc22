"""Training histories of one data subset in two dimensions, with predicted steps drawn in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mole_jax.evaluation.harness import episodes as episodes_lib
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Arrays, Measure, Results
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import fixed_prompt
from mole_jax.representation import alignment
from mole_jax.representation.alignment import Symmetry

MOST_RUNS = 12
N_STARTS = 5


class Trajectories(NamedTuple):
    """Runs of one data subset, and what is predicted from their starts, in two dimensions."""

    trajectories: np.ndarray  # [R, S, 2]
    loss: np.ndarray  # [R, S] the prompt metric
    start: np.ndarray  # [n, 2]
    predicted: np.ndarray  # [P, n, 2]
    prompts: np.ndarray  # [P] from high to low


def project(context: EvalContext, split: str, results: Results) -> Trajectories:
    """Project on the first principal components of the runs of a split's first data subset.

    Hidden units of every run are put in the order that matches its last snapshot to the first
    run's, the same order for the whole history and for what is predicted from its start. The
    components are those of all snapshots; predictions are projected on them.
    """
    network, zoo = context.family.network, context.zoo
    task = int(context.splits[split].tasks[context.tasks_with_runs(split)[0]])
    runs = zoo.select(finite=True, subset=task)[:MOST_RUNS]
    histories = zoo.parameters(runs)  # [R, S, D]
    symmetries = [alignment.match(network, run[-1], histories[0, -1]) for run in histories]
    aligned = np.stack(
        [_reordered(context, *pair) for pair in zip(histories, symmetries, strict=True)]
    )

    episodes = episodes_lib.of_runs(
        zoo,
        context.family,
        context.prompt_metric,
        runs[None, :N_STARTS],
        context.root,
        context.config["data"]["support_per_class"],
    )
    fixed = fixed_prompt.number(context, results)
    if context.prompt_metric.kind == "loss":
        prompts = asked(fixed, float(context.family.chance_loss(np.array([task]))[0]))
    else:
        start = float(np.median(episodes.start_metric))
        prompts = fixed + (start - fixed) * np.array([0.6, 0.3, 0.0])
    target = np.broadcast_to(prompts, (*episodes.shape, len(prompts)))
    flat = predict(context, context.learner, episodes, target, context.key("trajectories"))[0]
    predicted = np.stack(
        [_reordered(context, *pair) for pair in zip(flat, symmetries, strict=False)]
    )

    points = aligned.reshape(-1, aligned.shape[-1]).astype(np.float64)
    middle = points.mean(axis=0)
    axes = _components(points - middle)  # [D, 2]
    paths = (aligned - middle) @ axes
    return Trajectories(
        trajectories=paths,
        loss=context.prompt_metric.of_runs(zoo, runs),
        start=paths[: len(predicted), 0],
        predicted=np.swapaxes((predicted - middle) @ axes, 0, 1),
        prompts=prompts,
    )


def asked(fixed: float, chance_loss: float) -> np.ndarray:
    """Return three prompts: some way below guessing, the chosen one, and one between them: [3]."""
    high = max(0.6 * chance_loss, 2 * fixed)
    return np.array([high, np.sqrt(high * fixed), fixed])


def _reordered(context: EvalContext, flat: np.ndarray, symmetries: list[Symmetry]) -> np.ndarray:
    """Sort the units of networks [S, D] into one order."""
    return np.stack([alignment.apply(context.family.network, row, symmetries) for row in flat])


def _components(centred: np.ndarray) -> np.ndarray:
    """Return the first two principal directions of points [n, D]: [D, 2], with a fixed sign."""
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    axes = directions[:2].T
    return axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])


def _arrays(context: EvalContext, split: str, results: Results) -> Arrays:
    return {f"pca_{name}": x for name, x in results.of(MEASURE)._asdict().items()}


MEASURE = Measure(
    "trajectories",
    Trajectories,
    project,
    "main split",
    needs=(fixed_prompt.MEASURE,),
    arrays=_arrays,
)
