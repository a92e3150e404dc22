"""What one prediction costs, in seconds, and what the training costs that it replaces."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from mole_jax.core import rng
from mole_jax.evaluation.baselines import adam
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.evaluation.harness.prediction import call
from mole_jax.evaluation.measures import fixed_prompt, generated, quality
from mole_jax.population import recipes
from mole_jax.tasks.examples import Examples

CALLS = 4


class Timing(NamedTuple):
    """A full call of the sampler, after compilation."""

    seconds_per_network: np.ndarray  # [] median of the calls
    batch: np.ndarray  # [] networks in a call


def time_sampling(context: EvalContext, split: str, results: Results) -> Timing:
    """Time calls of the sampler."""
    predictor = context.learners[context.learner]
    episodes = context.splits[split]
    starts, metric, support = jax.tree.map(
        lambda x: np.resize(x.reshape(-1, *x.shape[2:]), (predictor.batch, *x.shape[2:])),
        (episodes.starts, episodes.start_metric, episodes.support),
    )
    asked = fixed_prompt.of(context, results)
    target = np.full(predictor.batch, asked or 0.0, np.float32)
    seconds = []
    for i in range(CALLS + 1):
        began = time.monotonic()
        key = rng.at(context.key("timing"), "call", i)
        found = call(predictor, starts, metric, target, Examples(*support), key, best=asked is None)
        found.block_until_ready()
        seconds.append(time.monotonic() - began)
    # The first call may compile.
    per_network = np.array(np.median(seconds[1:]) / predictor.batch)
    return Timing(per_network, np.array(predictor.batch))


def paid_back(cost: Mapping[str, float], seconds: Mapping[str, float | None]) -> float | None:
    """Return after how many tasks the zoo and the meta-training have saved the time they took.

    None when a prediction takes longer than Adam, or the stages' times are not on record.
    """
    saved = cost["seconds_per_network_adam"] - cost["seconds_per_network"]
    spent = [seconds["zoo"], seconds["train"]]
    if saved <= 0 or None in spent:
        return None
    return sum(s for s in spent if s is not None) / saved


def _record(context: EvalContext, split: str, results: Results) -> Record:
    """Return seconds and FLOPs of a prediction and of the training that it replaces.

    A training step is a forward and a backward pass, 6 FLOPs for each parameter and example.
    """
    network = context.family.network
    examples = recipes.examples_per_step(recipes.of(context.config["population"], network))
    timed, trained = results.of(MEASURE), results.of(adam.MEASURE, context.main_split)
    steps = quality.equivalent_steps(results, split)["median"]
    of_adam = float(trained.seconds_per_network)
    cost = {
        "seconds_per_network": float(timed.seconds_per_network),
        "networks_per_call": int(timed.batch),
        "seconds_per_network_adam": of_adam,
        "equivalent_adam_seconds": of_adam * steps / float(trained.steps[-1]),
        "equivalent_adam_flops": 6.0 * network.spec.size * examples * steps,
    }
    return {"cost": {**cost, "tasks_until_paid_back": paid_back(cost, context.seconds)}}


MEASURE = Measure(
    "timing",
    Timing,
    time_sampling,
    "once",
    needs=(fixed_prompt.MEASURE, generated.MEASURE, adam.MEASURE),
    record=_record,
)
