"""Does the learner know what it does not know? Signals available before any test.

Four signals of a support set, each higher if worse networks are to be expected: the loss of the
predicted networks on it; how much they disagree on it (the mutual information of Houlsby et al.
2011, in nats); how far its mean image is from those of training; and the loss on one half of it of
networks predicted from the other half. They are computed for the tasks of each split, for the same
tasks with shuffled labels, and for the same with inverted images.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import stats

from mole_jax.evaluation.harness import scoring, statistics
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.measure import Measure, Record, Results, labelled
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import calibration, fixed_prompt
from mole_jax.evaluation.measures.ensembles import with_many_starts
from mole_jax.tasks.examples import Examples

SIGNALS = ("support_loss", "disagreement", "distance", "held_out_loss")
NETWORKS = 4  # of each task
# The share of tasks that count as badly predicted.
_WORST = 0.25


class Abstention(NamedTuple):
    """S signals of T tasks: see SIGNALS."""

    accuracy: np.ndarray  # [T] on the test pool, mean of the networks
    known: np.ndarray  # [S, T]
    shuffled: np.ndarray  # [S, T] the same tasks with shuffled labels
    inverted: np.ndarray  # [S, T] and with inverted images


def measure(context: EvalContext, split: str, results: Results) -> Abstention:
    """Compute the signals of a split's tasks as they are, and of both strange versions of them."""
    which = np.arange(len(context.splits[split].tasks))
    episodes = with_many_starts(context, split, which, NETWORKS)
    flat = _predicted(context, episodes, split, results)
    _, accuracy = scoring.on_own_tasks(context.family, "test", flat, episodes.tasks)
    strange = (
        _shuffled(episodes, context.config["seed"]),
        calibration.inverted(context, episodes)[0],
    )
    return Abstention(
        accuracy.mean(1),
        signals(context, episodes, flat, split, results),
        *(
            signals(context, x, _predicted(context, x, split, results), split, results)
            for x in strange
        ),
    )


def signals(
    context: EvalContext, episodes: EpisodeGrid, flat: np.ndarray, split: str, results: Results
) -> np.ndarray:
    """Return SIGNALS [S, T] of episodes [T, N], given the networks [T, N, D] predicted for them."""
    network, support = context.family.network, Examples(*episodes.support)
    loss, _ = scoring.on_examples(network, flat, support)
    held_out = []
    fold = np.arange(support.mask.shape[-1]) % 2 == 0
    for shown, asked in ((fold, ~fold), (~fold, fold)):
        half = dataclasses.replace(episodes, support=support._replace(mask=support.mask & shown))
        other = _predicted(context, half, split, results)
        rest = support._replace(mask=support.mask & asked)
        held_out.append(scoring.on_examples(network, other, rest)[0])
    found = (
        loss.mean(1),
        _disagreement(context, flat, support),
        _distance(context, support),
        np.mean(held_out, axis=(0, 2)),
    )
    return np.nan_to_num(np.array(found), nan=np.inf)


def _predicted(
    context: EvalContext, episodes: EpisodeGrid, split: str, results: Results
) -> np.ndarray:
    key = context.key(f"abstention {split}")
    return predict(context, context.learner, episodes, fixed_prompt.of(context, results), key)


def _disagreement(context: EvalContext, flat: np.ndarray, support: Examples) -> np.ndarray:
    """Return the entropy of the mean answer minus the mean entropy: [T], nats."""
    p = scoring.on_inputs(context.family.network, flat, support)  # [T, N, n, K]

    def entropy(p: np.ndarray) -> np.ndarray:
        return -np.sum(p * np.log(np.maximum(p, 1e-12)), axis=-1)

    apart = entropy(p.mean(axis=1)) - entropy(p).mean(axis=1)  # [T, n]
    mask = support.mask[:, 0]
    return np.sum(apart * mask, axis=1) / mask.sum(1)


def _distance(context: EvalContext, support: Examples) -> np.ndarray:
    """Return how far mean images are from training's, in its standard deviations: [T]."""
    scales = context.learners[context.learner].trained.scales
    if scales.pixel_mean is None or scales.pixel_std is None:
        return np.zeros(len(support.mask))
    mean = scales.pixel_mean * scales.input_scale + scales.input_shift
    std = np.abs(scales.pixel_std * scales.input_scale)
    mask = support.mask[:, 0, :, None]
    found = np.sum(support.inputs[:, 0] * mask, axis=1) / mask.sum(1)  # [T, F]
    away = (found - mean) / (std + std.mean())
    return np.sqrt(np.mean(away**2, axis=1))


def _shuffled(episodes: EpisodeGrid, seed: int) -> EpisodeGrid:
    """Return the episodes with the labels of each support set shuffled, the same for all starts."""
    labels = np.array(episodes.support.labels)
    for task, mask in enumerate(np.asarray(episodes.support.mask[:, 0])):
        at = np.flatnonzero(mask)
        drawn = np.random.default_rng([seed, task]).permutation(at)
        labels[task][:, at] = labels[task][:, drawn]
    return dataclasses.replace(
        episodes, support=episodes.support._replace(labels=jnp.asarray(labels))
    )


def _record(context: EvalContext, split: str, results: Results) -> Record:
    """Record how well each signal ranks tasks, and detects the worst quarter and strange ones."""
    found = results.of(MEASURE, split)
    order = np.argsort(found.accuracy, kind="stable")
    n_worst = max(1, round(_WORST * len(order)))
    worst, others = order[:n_worst], order[n_worst:]
    record: Record = {}
    for name, known, shuffled, inverted in zip(SIGNALS, *found[1:], strict=True):
        varied = np.ptp(found.accuracy) > 0 and np.isfinite(known).all() and np.ptp(known) > 0
        rank = stats.spearmanr(known, -found.accuracy).statistic if varied else None
        record[name] = {
            "spearman": None if rank is None else float(rank),
            "auroc_worst": statistics.auroc(known[worst], known[others]),
            "auroc_shuffled": statistics.auroc(shuffled, known),
            "auroc_inverted": statistics.auroc(inverted, known),
        }
    return {"abstention": record}


MEASURE = Measure(
    "abstention",
    Abstention,
    measure,
    needs=(fixed_prompt.MEASURE,),
    applies=labelled,
    record=_record,
)
