"""What every learner costs: its meta-training, and then each unseen task."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.devices import distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.evaluation.harness.context import EvalContext, Predictor
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.evaluation.measures import adaptation, fixed_prompt, polishing, timing
from mole_jax.learners import answers
from mole_jax.training.learner import Classifier


class LearnerCosts(NamedTuple):
    """The costs of L learners, in the order of the config."""

    names: np.ndarray  # [L]
    training_seconds: np.ndarray  # [L] of meta-training; NaN if not recorded
    steps: np.ndarray  # [L] of meta-training
    seconds: np.ndarray  # [L, 2] of a task: in a batch, and alone
    flops: np.ndarray  # [L] of a task


def measure(context: EvalContext, split: str, results: Results) -> LearnerCosts:
    """Time each learner in the setting that was chosen for all support examples."""
    rows, contexts = [], {}
    for name in context.learners:
        contexts[name] = adaptation.of(context.measuring(name), results)
    for name in polishing.polished(context):
        contexts[polishing.name(name)] = polishing.of(context.measuring(name), results)
    for called, own in contexts.items():
        name = own.learner
        predictor = own.learners[name]
        alone = dataclasses.replace(predictor, batch=1, mesh=mesh_lib.first_device())
        sides = (predictor, alone) if jax.process_count() == 1 else (predictor,)
        seconds = [_seconds(own, split, side, results) for side in sides]
        episode = jax.tree.map(lambda x: x[:1], own.splits[split].flat())
        trained = predictor.trained
        rows.append(
            (
                called,
                np.nan if predictor.seconds is None else predictor.seconds,
                predictor.steps,
                [*seconds, np.nan][:2],
                answers.flops(trained.learner, trained.theta, episode),
            )
        )
    return LearnerCosts(*(np.array(x) for x in zip(*rows, strict=True)))


def _seconds(context: EvalContext, split: str, predictor: Predictor, results: Results) -> float:
    if predictor.trained.learner.writes_networks:
        asked = fixed_prompt.of(context, results)
        return timing.of_prediction(context, split, predictor, asked)
    return _of_classifier(context, split, predictor)


def _of_classifier(context: EvalContext, split: str, predictor: Predictor) -> float:
    """Return seconds to read a support set and answer one query, with `batch` tasks at once."""
    flat, n = context.splits[split].flat(), predictor.batch
    given = jax.tree.map(lambda x: np.resize(x, (n, *x.shape[1:])), flat)
    queries = jnp.asarray(given.support.inputs[:, :1])
    along, whole = mesh_lib.along(predictor.mesh, "data"), mesh_lib.replicated(predictor.mesh)
    given, queries = distributed.put((given, queries), along)
    trained, best = predictor.trained, float("inf")
    fixed = cast(Classifier, trained.learner), trained.theta, context.key("timing")
    learner, theta, key = distributed.put(fixed, whole)
    for i in range(timing.CALLS + 1):  # the first call may compile
        began = time.monotonic()
        answers.classify(learner, theta, given, queries, key).block_until_ready()
        best = min(best, time.monotonic() - began) if i else best
    return best / n


def _record(context: EvalContext, split: str, results: Results) -> Record:
    found = results.of(MEASURE)
    of_learner: dict[str, Any] = {}
    labels = {name: x.trained.learner.label for name, x in context.learners.items()}
    labels |= {polishing.name(n): polishing.label(labels[n]) for n in polishing.polished(context)}
    for name, spent, steps, seconds, flops in zip(*found, strict=True):
        own = {
            "meta_training_seconds": float(spent),
            "seconds_per_task": float(seconds[0]),
            "seconds_alone": float(seconds[1]),
        }
        known = {key: x if np.isfinite(x) else None for key, x in own.items()}
        of_learner[str(name)] = {
            "label": labels[str(name)].label,
            "meta_training_steps": int(steps),
            **known,
            "flops_per_task": float(flops),
        }
    return {"learner_costs": of_learner}


MEASURE = Measure(
    "learner_costs",
    LearnerCosts,
    measure,
    "once",
    needs=(fixed_prompt.MEASURE, adaptation.MEASURE, polishing.MEASURE),
    record=_record,
)
