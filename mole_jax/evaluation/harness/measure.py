"""What a measure is: what it needs, computes, records and gives to figures.

To add one, write a file in `evaluation/measures/` that exports a MEASURE, and list it in
`evaluation/selection.py`. A way of making networks without meta-training is a measure, too: its
file is in `evaluation/baselines/`, and its line in `evaluation/baselines/roster.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast

import numpy as np

from mole_jax.evaluation.harness.context import CHOICE, EvalContext

Record = dict[str, Any]  # numbers and texts that JSON can hold
Arrays = dict[str, np.ndarray]
Found = TypeVar("Found")
FoundCo = TypeVar("FoundCo", covariant=True)  # a measure of networks is a measure of scores


def always(context: EvalContext) -> bool:
    """Return True: the measure applies to all tasks."""
    return True


def labelled(context: EvalContext) -> bool:
    """Return whether examples have labels; the measure applies only to such tasks."""
    return context.family.labelled


def nothing(context: EvalContext, split: str, results: Results) -> dict[str, Any]:
    """Return nothing to record or to draw."""
    return {}


@dataclasses.dataclass(frozen=True, eq=False)
class Measure(Generic[FoundCo]):
    """One measurement; its functions are called with (context, split, results).

    Attributes:
        name: its name in `config.evaluation.measures` and in the names of its files.
        result: a NamedTuple of arrays; a field that may not apply has the default None.
        compute: makes the result from the context and from the results of what it needs.
        where: "choice": on training subsets, before everything else, and needing nothing; "each
            split"; "main split"; "once": on the main split, and recorded for all splits.
        needs: the measures whose results it uses.
        likes: measures whose results it uses if they apply; it also runs without them.
        applies: whether it makes sense for these tasks.
        each_learner: whether every learner that writes networks has a result, not only the main
            one.
        record: its part of evaluation.json: of the choices, or of a split's results.
        arrays: its arrays for figures; called for the main split.
    """

    name: str
    result: type[FoundCo]
    compute: Callable[[EvalContext, str, Results], FoundCo]
    where: Literal["choice", "each split", "main split", "once"] = "each split"
    _: dataclasses.KW_ONLY
    needs: tuple[Measure[Any], ...] = ()
    likes: tuple[Measure[Any], ...] = ()
    applies: Callable[[EvalContext], bool] = always
    each_learner: bool = False
    record: Callable[[EvalContext, str, Results], Record] = nothing
    arrays: Callable[[EvalContext, str, Results], Arrays] = nothing


class Job(NamedTuple):
    """One computation: a measure on one split, and for one learner if each has its own result."""

    measure: Measure[Any]
    split: str
    learner: str  # "" if the measure is of the main learner only

    @property
    def name(self) -> str:
        """Return the name of its file."""
        return ".".join(filter(None, (self.measure.name, self.learner, self.split)))

    def seen_from(self, context: EvalContext) -> EvalContext:
        """Return the context in which this job's learner is the measured one."""
        return context.measuring(self.learner) if self.learner else context


@dataclasses.dataclass(frozen=True)
class Results:
    """What measures have found so far, each in its own type."""

    context: EvalContext
    found: dict[Job, Any] = dataclasses.field(default_factory=dict)

    def of(self, measure: Measure[Found], split: str = "", learner: str = "") -> Found:
        """Return what a measure has found.

        Args:
            measure: the measure.
            split: which split's; not needed if the measure has one split only.
            learner: whose, if each learner has its own; by default the main one's.

        Raises:
            KeyError: if it has not run.
        """
        return cast(Found, self.found[self._job(measure, split, learner)])

    def has(self, measure: Measure[Any], split: str = "", learner: str = "") -> bool:
        """Return whether a measure has run."""
        return self._job(measure, split, learner) in self.found

    def _job(self, measure: Measure[Any], split: str, learner: str) -> Job:
        if measure.where != "each split":
            split = CHOICE if measure.where == "choice" else self.context.main_split
        return Job(measure, split, (learner or self.context.learner) * measure.each_learner)


def with_needs(measures: Iterable[Measure[Any]]) -> list[Measure[Any]]:
    """Return the measures and what they need, each after what it needs."""
    found: list[Measure[Any]] = []
    for measure in measures:
        needed = with_needs((*measure.needs, *measure.likes))
        found += [m for m in needed if m not in found]
        found += [measure] if measure not in found else []
    return found


def jobs(context: EvalContext, measures: Sequence[Measure[Any]]) -> list[Job]:
    """Return what is to be computed: the choices, then split by split, then what is done once."""

    def on(split: str, *where: str) -> list[Job]:
        return [
            Job(measure, split, learner)
            for measure in measures
            if measure.where in where
            for learner in (context.writers if measure.each_learner else ("",))
        ]

    each = [job for split in context.splits for job in on(split, "each split")]
    return [*on(CHOICE, "choice"), *each, *on(context.main_split, "main split", "once")]
