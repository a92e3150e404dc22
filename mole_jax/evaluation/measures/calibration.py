"""Does the model know how good a prediction is, and when a task is none of those it knows?"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import stats

from mole_jax.evaluation import measure
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.generated import judged, predict
from mole_jax.evaluation.parts import Arrays, Done, Found


def outside(bench: Bench, split: str, done: Done) -> Found:
    """The predicted metric (loss on the support set) on known and on strange tasks, [T, 1] each.

    Strange tasks are the same ones with inverted images: in the support set, in the pool that the
    start's metric is taken from, and in the test pool.
    """
    cases = bench.splits[split].first()
    data = bench.family.device_data
    low, high = (
        np.asarray(x * data.scale + data.shift) for x in (data.pixels.min(), data.pixels.max())
    )
    data = dataclasses.replace(data, scale=-data.scale, shift=low + high - data.shift)
    support = cases.support._replace(inputs=low + high - cases.support.inputs)
    metric = bench.metric.of_measured(
        *measure.on_pool(
            bench.family.network, data, bench.metric.pool, cases.starts, cases.tasks[:, None]
        ),
        bench.family.score_unit,
    )
    strange = dataclasses.replace(cases, support=support, start_metric=metric)
    predictor = bench.predictors["diffusion"]
    target = float(done["prompt.diffusion"]["chosen"])
    flat = predict(predictor, strange, target, bench.key(f"calibration {split}"))
    result = judged(predictor, data, strange, flat, labelled=True)
    return {
        "known": done[f"generated.diffusion.{split}"]["support_loss"][:, :1],
        "strange": result["support_loss"],
        "strange_test_accuracy": result["test_score"],
    }


def summary(generated: Arrays, outside: Arrays) -> dict[str, object]:
    """Calibration of the fixed-prompt networks of a split, and detection of strange tasks.

    Returns spearman and mae (nats) of predicted against achieved test loss over networks,
    `auroc_inverted`: how often a strange task has the higher predicted loss (ties one half), and
    the accuracy that is reached on strange tasks.
    """
    predicted, achieved = generated["support_loss"].ravel(), generated["test_loss"].ravel()
    finite = np.isfinite(predicted) & np.isfinite(achieved)
    varied = np.ptp(predicted[finite]) > 0 and np.ptp(achieved[finite]) > 0
    rank = stats.spearmanr(predicted[finite], achieved[finite]).statistic if varied else None
    known = np.nan_to_num(outside["known"].ravel(), nan=np.inf)
    strange = np.nan_to_num(outside["strange"].ravel(), nan=np.inf)
    higher = (strange[:, None] > known[None]) + 0.5 * (strange[:, None] == known[None])
    return {
        "n": int(finite.sum()),
        "spearman": None if rank is None else float(rank),
        "mae": float(np.abs(predicted - achieved)[finite].mean()),
        "auroc_inverted": float(higher.mean()),
        "accuracy_inverted": float(outside["strange_test_accuracy"].mean()),
    }
