"""How many gradient steps more a written network gets, of `evaluation.polish_steps`.

Like other learners' steps of adaptation it is chosen on training subsets, separately for each
number of shots; 0 is always among the numbers that are tried.
"""

from __future__ import annotations

from mole_jax.core import compat
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.evaluation.measures import adaptation
from mole_jax.evaluation.measures.adaptation import Adaptation
from mole_jax.training.learner import Label, Learner


def name(learner: str) -> str:
    """Return what a learner is called in results when its networks are polished."""
    return f"{learner}_polished"


def label(of: Label) -> Label:
    """Return how that is shown."""
    sentence = "Its networks take gradient steps more on the support set."
    return Label(f"{of.label}, polished", sentence)


def tried(context: EvalContext) -> list[int]:
    """Return the numbers of steps to choose from, increasing; none if there is no choice."""
    given = compat.get(context.config, "evaluation.polish_steps")
    return sorted({0, *given}) if given else []


def polished(context: EvalContext) -> tuple[str, ...]:
    """Return the names of the learners whose networks are polished, too."""
    found = []
    for own, predictor in context.learners.items():
        if tried(context) and predictor.trained.learner.polished(0) is not None:
            found.append(own)
    return tuple(found)


def choose(context: EvalContext, split: str, results: Results) -> Adaptation:
    """Choose the number of steps with the lowest mean validation loss."""
    return adaptation.among(context, _settings(context))


def of(context: EvalContext, results: Results, shots: int | None = None) -> EvalContext:
    """Return the context with the measured learner polishing as was chosen.

    Args:
        context: the one it is measured in.
        results: with this measure's own.
        shots: examples of each class that it is shown; None: all there are.
    """
    at = results.of(MEASURE, learner=context.learner).at(shots)
    return context.asked_as(_settings(context)[at])


def _settings(context: EvalContext) -> list[Learner]:
    learner = context.learners[context.learner].trained.learner
    found = [learner.polished(steps) for steps in tried(context)]
    return [own for own in found if own is not None]


def _record(context: EvalContext, split: str, results: Results) -> Record:
    steps = tried(context)
    if context.learner not in polished(context):
        return {}
    found = results.of(MEASURE, learner=context.learner)
    said = {str(n): {"steps": steps[found.at(n)]} for n in found.shots.tolist()}
    setting = {"tried": len(steps), "chosen": said}
    return {f"setting_{name(context.learner)}": setting}


MEASURE = Measure("polishing", Adaptation, choose, "choice", each_learner=True, record=_record)
