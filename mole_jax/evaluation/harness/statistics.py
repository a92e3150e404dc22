"""Numbers we report: quality, regret, prompt alignment and equivalent Adam steps.

Everything is plain numpy on arrays [T tasks, N networks]. The unit of generalisation is the task,
so every interval resamples tasks and never networks: more networks of the same few tasks must not
make an interval narrower than it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]

# A network counts as failed when it is worse than this part of the way from chance to trained.
FAILURE_FRACTION = 0.25


def bootstrap_mean_ci(
    per_task: ArrayLike, *, n_boot: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile-bootstrap interval of the mean over tasks.

    per_task: [T], one number per task. Returns (low, high); with one task both are its value.
    Deterministic in `seed`. Raises ValueError when per_task is empty, not one-dimensional or not
    finite. Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    values = _finite(per_task, "per_task", ndim=1)  # [T]
    rng = np.random.default_rng(seed)
    picks = rng.integers(values.size, size=(n_boot, values.size))
    means = values[picks].mean(axis=1)  # [n_boot]
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return float(low), float(high)


def quality(
    values: ArrayLike,
    losses: ArrayLike,
    *,
    chance: ArrayLike,
    trained: ArrayLike,
    n_boot: int = 2000,
    seed: int = 0,
) -> dict[str, object]:
    """Return the record of one method: how good its networks are, and how often they fail.

    values: [T, N], higher is better (accuracy as a fraction of 1). losses: [T, N], nats; a network
    whose loss is not finite counts as failed, stays out of `loss_mean`, and is counted in
    `nonfinite_rate`. chance: the value of guessing; trained: what trained networks reach; each a
    number, or one per task [T]. Returns mean (of the task means), median and p10 (over all
    networks), failure_rate, ci95 (of the mean, over tasks), loss_mean (None when no loss is finite)
    and nonfinite_rate. Raises ValueError on mismatched shapes.
    """
    value = _finite(values, "values", ndim=2)  # [T, N]
    loss = np.asarray(losses, dtype=np.float64)  # [T, N]
    _same_shape(value, loss, "values", "losses")
    reference = np.broadcast_to(np.asarray(trained, dtype=np.float64), value.shape[:1])  # [T]
    guessed = np.asarray(chance, dtype=np.float64)  # [] or [T]
    bar = guessed + FAILURE_FRACTION * (reference - guessed)  # [T]
    finite = np.isfinite(loss)
    failed = (value < bar[:, None]) | ~finite
    per_task = value.mean(axis=1)  # [T]
    return {
        "mean": float(per_task.mean()),
        "median": float(np.median(value)),
        "p10": float(np.percentile(value, 10)),
        "failure_rate": float(failed.mean()),
        "ci95": list(bootstrap_mean_ci(per_task, n_boot=n_boot, seed=seed)),
        "loss_mean": float(loss[finite].mean()) if finite.any() else None,
        "nonfinite_rate": float(1.0 - finite.mean()),
    }


def paired_gain(
    ours: ArrayLike, theirs: ArrayLike, *, n_boot: int = 2000, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Compare two methods on the same starts: mean over tasks of ours minus theirs.

    ours, theirs: [T, N], higher is better; the pairing by task removes the tasks' own difficulty
    from the interval. Returns (mean, (low, high)), the 95 % interval over tasks; positive means
    that ours is better. With Adam's networks as ours and generated ones as theirs, it is the regret
    of generating.
    """
    first, second = _finite(ours, "ours", ndim=2), _finite(theirs, "theirs", ndim=2)
    _same_shape(first, second, "ours", "theirs")
    per_task = (first - second).mean(axis=1)  # [T]
    return float(per_task.mean()), bootstrap_mean_ci(per_task, n_boot=n_boot, seed=seed)


def calibration_error(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> float:
    """Return the expected calibration error: mean |confidence - accuracy| over bins of confidence.

    confidence: [n] in [0, 1], of the class answered. correct: [n] bool. Bins are equally wide and
    weighted by their examples. Source: Guo et al., On Calibration of Modern Neural Networks (2017).
    """
    sure = _finite(confidence, "confidence", ndim=1)
    right = np.asarray(correct, dtype=np.float64)
    _same_shape(sure, right, "confidence", "correct")
    at = np.minimum((sure * bins).astype(int), bins - 1)
    apart = np.bincount(at, weights=sure - right, minlength=bins)
    return float(np.abs(apart).sum() / sure.size)


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Return how often one of `positive` is above one of `negative`; ties count one half."""
    a, b = np.ravel(positive)[:, None], np.ravel(negative)[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))


def prompt_alignment(
    prompts: ArrayLike, achieved: ArrayLike, counted: ArrayLike = True
) -> dict[str, float]:
    """Measure how closely networks follow the metric they were asked for.

    prompts: [P], or [M, P] when each network has its own. achieved: [M, P], the metric measured,
    same units. counted: [M, P] bool, the prompts that count, two or more for each network. Per
    network R^2 = 1 - sum (prompt - observed)^2 / sum (prompt - mean prompt)^2, which is negative
    when answering the mean prompt would have been better; Spearman's rank correlation (0 when every
    answer is the same); and the mean absolute error. Networks with an answer that is not finite are
    left out of all four and counted in `nonfinite_rate`. Raises ValueError when prompts do not
    vary, shapes disagree, or no network is finite. Source: Peebles et al., Learning to Learn with
    Generative Models of Neural Network Checkpoints (2022), section 4.
    """
    observed = np.asarray(achieved, dtype=np.float64)  # [M, P]
    if observed.ndim != 2:
        raise ValueError(f"achieved must be [M networks, P prompts], got shape {observed.shape}")
    asked = np.asarray(prompts, dtype=np.float64)
    if asked.shape not in (observed.shape, observed.shape[1:]):
        raise ValueError(f"prompts of shape {asked.shape} do not fit achieved {observed.shape}")
    counts = np.broadcast_to(np.asarray(counted, dtype=bool), observed.shape)  # [M, P]
    asked = np.where(counts, asked, np.nan)  # [M, P]
    keep = (np.isfinite(observed) | ~counts).all(axis=1)
    if not keep.any():
        raise ValueError("no network has finite achieved metrics at every prompt")
    nonfinite_rate = float(1.0 - keep.mean())
    asked, observed = asked[keep], np.where(counts, observed, np.nan)[keep]
    if np.any(counts[keep].sum(axis=1) < 2):
        raise ValueError("prompt alignment needs at least two prompts that count per network")
    spread = np.nansum(np.square(asked - np.nanmean(asked, axis=1, keepdims=True)), axis=1)  # [M]
    if np.any(spread == 0.0):
        raise ValueError("prompt alignment needs at least two different prompts per network")
    r2 = 1.0 - np.nansum(np.square(asked - observed), axis=1) / spread  # [M]
    return {
        "r2_mean": float(r2.mean()),
        "r2_median": float(np.median(r2)),
        "spearman_mean": float(_spearman(asked, observed).mean()),
        "mae_mean": float(np.nanmean(np.abs(asked - observed))),
        "nonfinite_rate": nonfinite_rate,
    }


def equivalent_steps(
    adam_curve: ArrayLike, steps: ArrayLike, generated_loss: ArrayLike
) -> dict[str, float]:
    """Count the Adam steps that a prediction is worth.

    That is the smallest step at which Adam's loss is at most the generated loss.

    adam_curve: [T, N, K], Adam's loss from the same starts at steps [K] (increasing).
    generated_loss: [T, N]; one that is not finite is worth the first step. A network that beats the
    whole curve is counted at the last step and in `censored`, so the figures are then lower bounds.
    Returns median and p10 (steps, over networks) and censored (fraction of networks).
    """
    curve = np.asarray(adam_curve, dtype=np.float64)  # [T, N, K]
    at = np.asarray(steps, dtype=np.float64)  # [K]
    loss = np.asarray(generated_loss, dtype=np.float64)  # [T, N]
    if curve.ndim != 3 or curve.shape[:2] != loss.shape or curve.shape[2:] != at.shape:
        raise ValueError(
            f"shapes disagree: adam_curve {curve.shape}, steps {at.shape}, "
            f"generated_loss {loss.shape}; need [T, N, K], [K], [T, N]"
        )
    if np.any(np.diff(at) <= 0):
        raise ValueError("steps must increase")
    loss = np.where(np.isfinite(loss), loss, np.inf)
    reached = curve <= loss[..., None]  # [T, N, K]
    censored = ~reached.any(axis=-1) & np.isfinite(loss)  # [T, N]
    worth = at[np.where(censored, at.size - 1, reached.argmax(axis=-1))]  # [T, N]
    return {
        "median": float(np.median(worth)),
        "p10": float(np.percentile(worth, 10)),
        "censored": float(censored.mean()),
    }


def _spearman(a: Floats, b: Floats) -> Floats:
    """Correlate ranks row-wise, [M, P] and [M, P] -> [M]; 0 for a row without variation.

    Where one of them is NaN, both are.
    """
    rank_a, rank_b = (stats.rankdata(x, axis=1, nan_policy="omit") for x in (a, b))
    rank_a -= np.nanmean(rank_a, axis=1, keepdims=True)
    rank_b -= np.nanmean(rank_b, axis=1, keepdims=True)
    norm = np.sqrt(np.nansum(np.square(rank_a), axis=1) * np.nansum(np.square(rank_b), axis=1))
    return np.nansum(rank_a * rank_b, axis=1) / np.where(norm > 0, norm, 1.0)


def _finite(array: ArrayLike, name: str, *, ndim: int) -> Floats:
    values = np.asarray(array, dtype=np.float64)
    if values.ndim != ndim or values.size == 0:
        raise ValueError(f"{name} must be non-empty with {ndim} axes, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has {np.count_nonzero(~np.isfinite(values))} values not finite")
    return values


def _same_shape(a: Floats, b: Floats, name_a: str, name_b: str) -> None:
    if a.shape != b.shape:
        raise ValueError(f"{name_a} {a.shape} and {name_b} {b.shape} must have the same shape")
