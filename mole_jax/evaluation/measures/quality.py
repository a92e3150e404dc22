"""How good generated networks are, compared with Adam, the baselines and the other learners."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mole_jax.evaluation.baselines import adam
from mole_jax.evaluation.baselines.roster import BASELINES
from mole_jax.evaluation.harness import statistics
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Arrays, Measure, Record, Results
from mole_jax.evaluation.measures import fixed_prompt, generated

BEST = "as good as you can"  # in place of a number


class Quality(NamedTuple):
    """Every method on the same episodes, judged on the test pool."""

    names: np.ndarray  # [M]: generated, adam, the baselines that run, the other learners
    loss: np.ndarray  # [M, T, N]
    score: np.ndarray  # [M, T, N]


def compare(context: EvalContext, split: str, results: Results) -> Quality:
    """Collect what every method has reached."""
    ours, trained = results.of(generated.MEASURE, split), results.of(adam.MEASURE, split)
    found = {
        "generated": (ours.test_loss, ours.test_score),
        "adam": (trained.test_loss[..., -1], trained.test_score),
    }
    for measure in (baseline.measure for baseline in BASELINES):
        if results.has(measure, split):
            tested = results.of(measure, split)
            found[measure.name] = (tested.test_loss, tested.test_score)
    for name in context.others:
        other = results.of(generated.MEASURE, split, name)
        found[name] = (other.test_loss, other.test_score)
    loss, score = (np.stack(x) for x in zip(*found.values(), strict=True))
    return Quality(np.array(list(found)), loss, score)


def equivalent_steps(results: Results, split: str) -> dict[str, float]:
    """Return how many Adam steps one prediction is worth."""
    ours, trained = results.of(generated.MEASURE, split), results.of(adam.MEASURE, split)
    return statistics.equivalent_steps(trained.test_loss, trained.steps, ours.test_loss)


def _record(context: EvalContext, split: str, results: Results) -> Record:
    names, losses, scores = results.of(MEASURE, split)
    n_boot = context.evaluation["bootstrap"]
    chance = context.family.chance_score(context.splits[split].tasks)
    ours, trained = scores[:2]
    of_method: dict[str, dict[str, Any]] = {}
    for name, loss, score in zip(names.tolist(), losses, scores, strict=True):
        of_method[name] = statistics.quality(
            score, loss, chance=chance, trained=trained.mean(1), n_boot=n_boot
        )
        if name not in ("generated", "adam"):
            # Paired by task, so that how hard the tasks are stays out of the interval.
            gain, interval = statistics.paired_gain(ours, score, n_boot=n_boot)
            of_method[name] |= {"gain_mean": gain, "gain_ci95": list(interval)}
    regret, interval = statistics.paired_gain(trained, ours, n_boot=n_boot)
    asked = fixed_prompt.of(context, results)
    return {
        "fixed_prompt": BEST if asked is None else asked,
        "generated": of_method.pop("generated"),
        "adam": of_method.pop("adam"),
        "regret_mean": regret,
        "regret_ci95": list(interval),
        "equivalent_adam_steps": equivalent_steps(results, split),
        "baselines": of_method,
        "methods": _methods(context),
    }


def _methods(context: EvalContext) -> Record:
    """Return what the report calls each method, and for how long learners were trained."""
    found: Record = {
        baseline.measure.name: dict(baseline.label._asdict()) for baseline in BASELINES
    }
    for name, learner in context.learners.items():
        key = "generated" if name == context.learner else name
        found[key] = {**learner.trained.learner.label._asdict(), "steps": learner.steps}
    return found


def _arrays(context: EvalContext, split: str, results: Results) -> Arrays:
    names, losses, scores = results.of(MEASURE, split)
    trained = results.of(adam.MEASURE, split)
    return {
        "generated_score": scores[0].mean(1),
        "adam_score": scores[1].mean(1),
        "baseline_names": names[2:],
        "baseline_score": scores[2:].mean(2),
        "adam_curve_steps": trained.steps,
        "adam_curve_loss": np.median(trained.test_loss, axis=(0, 1)),
        "generated_loss_median": np.median(losses[0]),
    }


MEASURE = Measure(
    "quality",
    Quality,
    compare,
    needs=(fixed_prompt.MEASURE, generated.MEASURE, adam.MEASURE),
    record=_record,
    arrays=_arrays,
)
