"""Training histories of one data subset in two dimensions, with predicted steps drawn in."""

from __future__ import annotations

import numpy as np

from mole_jax.evaluation import cases as cases_lib
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.generated import predict
from mole_jax.evaluation.parts import Done, Found
from mole_jax.representation import alignment
from mole_jax.representation.alignment import Move

MOST_RUNS = 12
N_STARTS = 5


def project(bench: Bench, split: str, done: Done) -> Found:
    """Principal components of the runs of a split's first data subset.

    Hidden units of every run are put in the order that matches its last snapshot to the first
    run's, the same order for the whole history and for what is predicted from its start. The
    components are those of all snapshots; predictions are projected on them.

    Returns:
        pca_trajectories [R, S, 2], pca_loss [R, S], pca_start [n, 2], pca_predicted [P, n, 2] and
        pca_prompts [P], from high to low.
    """
    network, zoo = bench.family.network, bench.zoo
    task = int(bench.splits[split].tasks[bench.tasks_with_runs(split)[0]])
    runs = zoo.select(finite=True, subset=task)[:MOST_RUNS]
    histories = zoo.parameters(runs)  # [R, S, D]
    moves = [alignment.match(network, run[-1], histories[0, -1]) for run in histories]
    aligned = np.stack([_reordered(bench, *pair) for pair in zip(histories, moves, strict=True)])

    cases = cases_lib.of_runs(
        zoo,
        bench.family,
        bench.metric,
        runs[None, :N_STARTS],
        bench.root,
        bench.config["data"]["support_per_class"],
    )
    fixed = float(done["prompt.diffusion"]["chosen"])
    if bench.metric.kind == "loss":
        prompts = asked(fixed, bench.family.guess_loss)
    else:
        start = float(np.median(cases.start_metric))
        prompts = fixed + (start - fixed) * np.array([0.6, 0.3, 0.0])
    target = np.broadcast_to(prompts, (*cases.shape, len(prompts)))
    flat = predict(bench.predictors["diffusion"], cases, target, bench.key("trajectories"))[0]
    predicted = np.stack([_reordered(bench, *pair) for pair in zip(flat, moves, strict=False)])

    points = aligned.reshape(-1, aligned.shape[-1]).astype(np.float64)
    middle = points.mean(axis=0)
    axes = _components(points - middle)  # [D, 2]
    paths = (aligned - middle) @ axes
    return {
        "pca_trajectories": paths,
        "pca_loss": bench.metric.of_runs(zoo, runs),
        "pca_start": paths[: len(predicted), 0],
        "pca_predicted": np.swapaxes((predicted - middle) @ axes, 0, 1),
        "pca_prompts": prompts,
    }


def asked(fixed: float, guess_loss: float) -> np.ndarray:
    """Three prompts: some way below guessing, the fixed one, and one between them: [3]."""
    high = max(0.6 * guess_loss, 2 * fixed)
    return np.array([high, np.sqrt(high * fixed), fixed])


def _reordered(bench: Bench, flat: np.ndarray, moves: list[Move]) -> np.ndarray:
    """Networks [S, D] with their units in one order."""
    return np.stack([alignment.apply(bench.family.network, row, moves) for row in flat])


def _components(centred: np.ndarray) -> np.ndarray:
    """The first two principal directions of points [n, D]: [D, 2], with a fixed sign."""
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    axes = directions[:2].T
    return axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
