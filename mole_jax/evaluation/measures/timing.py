"""What one prediction costs, in seconds and FLOP, and what the training costs that it replaces."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from mole_jax.core import rng
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.evaluation.baselines import adam, adam_support, training
from mole_jax.evaluation.baselines.adam_support import AdamSupport
from mole_jax.evaluation.harness import statistics
from mole_jax.evaluation.harness.context import EvalContext, Predictor
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.evaluation.harness.prediction import call, seen
from mole_jax.evaluation.measures import fixed_prompt, generated, training_cost
from mole_jax.learners import answers
from mole_jax.population.member import Recipe
from mole_jax.population.ppo import PPORecipe
from mole_jax.sampling import writing

CALLS = 4
# Trained on the pool, from the same starts; and on the examples MOLE is shown, if they have labels.
POOL, SUPPORT = "adam", AdamSupport.name


class Timing(NamedTuple):
    """Seconds and FLOP of one network, the fastest call: [2] in a batch, and alone."""

    batch: np.ndarray  # [] networks in a call
    seconds: np.ndarray  # [2] of a prediction: support encoding and all passes
    flops: np.ndarray  # [] of a prediction
    adam_seconds: np.ndarray  # [2] of a step of Adam on the training pool
    support_seconds: np.ndarray | None = None  # [2] of a step of Adam on the support set
    support_steps: np.ndarray | None = None  # [S]
    support_loss: np.ndarray | None = None  # [T, 1, S] on the test pool, of the first starts


def measure(context: EvalContext, split: str, results: Results) -> Timing:
    """Time predictions and steps of Adam, one batch of networks at once and a network alone."""
    predictor = context.learners[context.learner]
    alone = dataclasses.replace(predictor, batch=1, mesh=mesh_lib.first_device())
    # One process's device cannot be given arrays that all processes share.
    sides = (predictor, alone) if jax.process_count() == 1 else (predictor,)
    asked = fixed_prompt.of(context, results)
    episode = jax.tree.map(lambda x: x[:1], context.splits[split].flat())
    trained = predictor.trained
    rate = float(results.of(adam.RATE).chosen)
    found: dict[str, Any] = {
        "batch": np.array(predictor.batch),
        "seconds": _both([of_prediction(context, split, side, asked) for side in sides]),
        "flops": np.array(answers.flops(trained.learner, trained.theta, episode)),
        "adam_seconds": _both([training_cost.seconds(context, rate, s.batch) for s in sides]),
    }
    if not results.has(adam_support.CHOSEN):  # for policies, for example
        return Timing(**found)
    chosen = results.of(adam_support.CHOSEN)
    rate = float(chosen.chosen)
    curves = AdamSupport(context).train(
        rate, context.splits[split].first().flat(), context.key(SUPPORT), measured=("test",)
    )
    return Timing(
        **found,
        support_seconds=_both(
            [training_cost.seconds(context, rate, s.batch, on_support=True) for s in sides]
        ),
        support_steps=curves.steps,
        support_loss=curves.metrics["test_loss"],
    )


def _both(seconds: list[float]) -> np.ndarray:
    """Return [2], with NaN for a network alone if that was not measured."""
    return np.array([*seconds, np.nan][:2])


def of_prediction(
    context: EvalContext, split: str, predictor: Predictor, asked: float | None
) -> float:
    """Return the measured learner's seconds per network, for `predictor.batch` networks.

    On a single device, a call writes as many networks as it does for users.
    """
    episodes, n = context.splits[split], predictor.batch
    parts = 1
    if predictor.mesh.size == 1:
        parts = -(-n // writing.at_once(context.family.network))
        n = -(-n // parts)
        predictor = dataclasses.replace(predictor, batch=n)
    row = jax.tree.map(lambda x: np.resize(x, (n, *x.shape[1:])), seen(predictor, episodes))
    target = np.full(n, asked or 0.0, np.float32)
    seconds = []
    for i in range(CALLS + 1):
        began = time.monotonic()
        key, best = rng.at(context.key("timing"), "call", i), asked is None
        for _ in range(parts):
            found = call(predictor, row, target, key, best=best)
        found.block_until_ready()
        seconds.append(time.monotonic() - began)
    # The first call may compile.
    return min(seconds[1:]) / (parts * n)  # the fastest, as for Adam's steps


def paid_back(
    training: float | None, prediction: float, seconds: Mapping[str, float | None]
) -> float | None:
    """Return after how many tasks the zoo and the meta-training have saved the time they took.

    Args:
        training: seconds of Adam's training to a network as good; None if it never gets there.
        prediction: seconds of a prediction.
        seconds: of the stages; None for one not recorded.

    Returns:
        Tasks; None if a prediction takes as long as Adam or longer, and so never pays, or if one of
        the numbers is unknown.
    """
    spent = [seconds["zoo"], seconds["train"]]
    if training is None or training <= prediction or None in spent:
        return None
    return sum(s for s in spent if s is not None) / (training - prediction)


def _record(context: EvalContext, split: str, results: Results) -> Record:
    """Return costs of a prediction, and of Adam until its network is as good on the test pool."""
    timed, trained = results.of(MEASURE), results.of(adam.MEASURE, split)
    loss = results.of(generated.MEASURE, split).test_loss
    recipe = training.recipe(context, 2)
    cost: Record = {
        "networks_per_call": int(timed.batch),
        "seconds_per_network": float(timed.seconds[0]),
        "seconds_alone": _known(timed.seconds[1]),
        "flops_per_network": float(timed.flops),
    }
    worth = statistics.equivalent_steps(trained.test_loss, trained.steps, loss)
    cost[POOL] = _of_adam(context, worth, timed.adam_seconds, recipe)
    if (
        timed.support_loss is not None
        and timed.support_steps is not None
        and timed.support_seconds is not None
        and isinstance(recipe, Recipe)
        and split == context.main_split
    ):
        worth = statistics.equivalent_steps(timed.support_loss, timed.support_steps, loss[:, :1])
        own = training_cost.of_support(context, recipe)
        cost[SUPPORT] = _of_adam(context, worth, timed.support_seconds, own)
    cost["tasks_until_paid_back"] = {
        name: paid_back(
            cost[name]["seconds_per_network"], cost["seconds_per_network"], context.seconds
        )
        for name in (POOL, SUPPORT)
        if name in cost
    }
    return {"cost": cost}


def _of_adam(
    context: EvalContext,
    worth: Mapping[str, float],
    step_seconds: np.ndarray,
    recipe: Recipe | PPORecipe,
) -> Record:
    """Return Adam's costs of a network as good; None if half or more never get there."""
    n = None if worth["censored"] >= 0.5 else worth["median"]
    flops = training_cost.step_flops(context.family.network, recipe)
    return {
        "steps": n,
        "share_that_never_gets_there": worth["censored"],
        "seconds_per_step": float(step_seconds[0]),
        "seconds_per_network": None if n is None else n * float(step_seconds[0]),
        "seconds_alone": None if n is None else _known(n * step_seconds[1]),
        "flops": None if n is None else n * flops,
    }


def _known(seconds: float) -> float | None:
    return float(seconds) if np.isfinite(seconds) else None


MEASURE = Measure(
    "timing",
    Timing,
    measure,
    "once",
    needs=(fixed_prompt.MEASURE, generated.MEASURE, adam.RATE, adam.MEASURE),
    likes=(adam_support.CHOSEN,),
    record=_record,
)
