"""The setting of learners that have several to choose from, such as numbers of gradient steps.

It is chosen on training subsets, separately for each number of shots, as are Adam's rate and steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mole_jax.core import compat
from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import fewer
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.training.learner import Learner


class Adaptation(NamedTuple):
    """A learner's settings, and their validation losses on training subsets."""

    shots: np.ndarray  # [S]; the last is all examples there are
    validation_loss: np.ndarray  # [S, C] nats
    chosen: np.ndarray  # [S] position among the settings

    def at(self, shots: int | None = None) -> int:
        """Return the position of the setting for N shots; None: all there are."""
        return int(self.chosen[-1 if shots is None else self.shots.tolist().index(shots)])


def choose(context: EvalContext, split: str, results: Results) -> Adaptation:
    """Choose the setting with the lowest mean validation loss, if there are several."""
    return among(context, context.learners[context.learner].trained.learner.choices())


def among(context: EvalContext, settings: Sequence[Learner]) -> Adaptation:
    """Choose one of some settings of the measured learner, at each number of shots."""
    shots = _shots(context)
    if not settings:
        return Adaptation(shots, np.zeros((len(shots), 1)), np.zeros(len(shots), int))
    loss = np.array([[_loss(context.asked_as(own), n) for own in settings] for n in shots.tolist()])
    return Adaptation(shots, loss, np.nan_to_num(loss, nan=np.inf).argmin(axis=1))


def _loss(context: EvalContext, shots: int) -> float:
    shown = fewer(context.choice, shots, context.family.n_classes)
    key = context.key(f"adaptation {context.learner}")
    flat = predict(context, context.learner, shown, None, key)
    loss, _ = scoring.on_own_tasks(context.family, "validation", flat, shown.tasks)
    return float(loss.mean())


def _shots(context: EvalContext) -> np.ndarray:
    most = context.config["data"]["support_per_class"]
    return np.array(sorted({*compat.get(context.config, "evaluation.shots"), most}))


def of(context: EvalContext, results: Results, shots: int | None = None) -> EvalContext:
    """Return the context with the measured learner in the setting chosen for it.

    Args:
        context: the one it is measured in.
        results: with this measure's own.
        shots: examples of each class that it is shown; None: all there are.
    """
    choices = context.learners[context.learner].trained.learner.choices()
    if not choices:
        return context
    found = results.of(MEASURE, learner=context.learner)
    return context.asked_as(choices[found.at(shots)])


def _record(context: EvalContext, split: str, results: Results) -> Record:
    choices = context.learners[context.learner].trained.learner.choices()
    if not choices:
        return {}
    found = results.of(MEASURE, learner=context.learner)
    said = {
        str(shots): choices[int(i)].setting
        for shots, i in zip(found.shots, found.chosen, strict=True)
    }
    return {f"setting_{context.learner}": {"tried": len(choices), "chosen": said}}


MEASURE = Measure("adaptation", Adaptation, choose, "choice", each_learner=True, record=_record)
