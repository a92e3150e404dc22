"""What a measure is: what it needs, computes, records and gives to figures.

To add one: a file in `evaluation/measures/` that exports a MEASURE, and a line in
`evaluation/selection.py`. A way of making networks without meta-training is a measure, too: a file
in `evaluation/baselines/`, and a line in `evaluation/baselines/roster.py`.
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
    """Return whether examples have labels: the measure applies to such tasks only."""
    return context.family.labelled


def nothing(context: EvalContext, split: str, results: Results) -> dict[str, Any]:
    """Return nothing to record or to draw."""
    return {}


@dataclasses.dataclass(frozen=True, eq=False)
class Measure(Generic[FoundCo]):
    """One measurement; its functions are called with (context, split, results).

    Attributes:
        name: what `config.evaluation.measures` and its files call it.
        result: a NamedTuple of arrays; a field that does not apply is None, and has that default.
        compute: makes the result from the context and from the results of what it needs.
        where: "choice": on training subsets, before everything else, and needing nothing; "each
            split"; "main split"; "once": on the main split, and recorded for every one.
        needs: the measures whose results it uses.
        likes: those whose results it uses where they apply; it runs without them, too.
        applies: whether it makes sense for the tasks at hand.
        each_learner: it has a result for every learner that writes networks, and not for the main
            one alone.
        record: its part of evaluation.json: of the choices, or of a split's results.
        arrays: what figures draw of it, asked for on the main split.
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
    """One computation: a measure on one split, and of one learner where each has its own."""

    measure: Measure[Any]
    split: str
    learner: str  # "" where the measure is of the main learner alone

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
            split: which split's; not needed where the measure is on one split only.
            learner: whose, of a measure of each learner; the main one's by default.

        Raises:
            KeyError: where it has not run.
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
