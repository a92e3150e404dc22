"""What a comparison says and in which order: one content, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mole_jax.report import findings, numbers
from mole_jax.report.comparison import settings, side_by_side
from mole_jax.report.comparison.paired_differences import Paired, Unpaired
from mole_jax.report.comparison.recorded_run import Run, splits_of
from mole_jax.report.comparison.side_by_side import Table

QUALITY = (
    "Tasks × networks of each. Regret is Adam's score minus MOLE's, and the support gap is the "
    "score lost with another network's support set, both in points. R² says how closely networks "
    "have the loss they were asked for. Adam and SGD do not count as baselines."
)
PAIRED = (
    "The first run's score minus the second's on the same tasks, with a 95 % interval over tasks: "
    "above 0 the first one is better. Runs are paired only if their records show the same tasks, "
    "images and support sets; starts may differ, as they must between networks of two kinds."
)
SETTINGS = "A setting that a run's config does not have is absent."
MOST_SAID = 3  # pairs of runs in the opening sentences; the table has all


class Section(NamedTuple):
    """A part of the comparison: a sentence or two, tables, and lines after them."""

    heading: str
    words: str
    tables: tuple[Table, ...]
    lines: tuple[str, ...] = ()
    every_key: Table | None = None  # in full what a table shortens; for the page alone


def sections(runs: Sequence[Run], pairs: Sequence[Paired | Unpaired]) -> list[Section]:
    """Return all parts that have numbers."""
    splits = splits_of(runs)
    few_shot = [side_by_side.few_shot(runs, split) for split in splits]
    of_few = tuple(table for table in few_shot if table is not None)
    return [
        Section(
            "How good the networks are",
            QUALITY,
            tuple(side_by_side.quality(runs, split) for split in splits),
        ),
        _paired(runs, pairs),
        *([Section("Learning from few examples", "", of_few)] if of_few else []),
        _settings(runs),
        Section("What they cost", "", (side_by_side.cost(runs),)),
        Section("Where these numbers come from", "", (side_by_side.origin(runs),)),
    ]


def opening(runs: Sequence[Run], pairs: Sequence[Paired | Unpaired]) -> str:
    """Return the first sentences: the main split's means, and differences on the same tasks."""
    split = splits_of(runs)[0]
    means = [
        f"{run.name} {numbers.percent(run.splits[split]['generated']['mean'])}"
        for run in runs
        if split in run.splits
    ]
    said = [_sentence(pair) for pair in pairs if isinstance(pair, Paired) and pair.split == split]
    return " ".join(
        [
            f"Mean test score on {findings.split_name(split)}: {', '.join(means)}.",
            *(said if len(said) <= MOST_SAID else []),
        ]
    )


def _sentence(pair: Paired) -> str:
    mean, (low, high) = pair.generated
    if low == high == 0.0:
        return f"On the same {pair.n_tasks} tasks {pair.first} and {pair.second} score the same."
    interval = f"{numbers.interval_points((low, high), 2)}, {pair.n_tasks} tasks"
    if low <= 0.0 <= high:
        return (
            f"On the same tasks {pair.first} and {pair.second} are level: a difference of "
            f"{numbers.points(mean, 2)} points (95 % interval {interval})."
        )
    better = "better" if mean > 0 else "worse"
    return (
        f"On the same tasks {pair.first} is {numbers.number(abs(100 * mean), 2)} points {better} "
        f"than {pair.second} (95 % interval {interval})."
    )


def _paired(runs: Sequence[Run], pairs: Sequence[Paired | Unpaired]) -> Section:
    table = side_by_side.paired(pairs)
    lines = tuple(f"Not paired: {line}" for line in side_by_side.reasons(pairs))
    return Section("Differences on the same tasks", PAIRED, (table,) if table.rows else (), lines)


def _settings(runs: Sequence[Run]) -> Section:
    names = [run.name for run in runs]
    changed, lacking, older = settings.differences([run.config for run in runs])
    short = settings.in_short(lacking)
    rows = [*changed, *short]
    return Section(
        "Which settings differ",
        SETTINGS if rows else "",
        (side_by_side.config(names, rows),) if rows else (),
        tuple(_lines(older, is_same=not rows)),
        side_by_side.config(names, [*changed, *lacking]) if short != lacking else None,
    )


def _lines(older: Sequence[str], *, is_same: bool) -> Iterator[str]:
    if is_same:
        yield "No setting differs."
    if older:
        yield f"Absent in some runs, which then have the value of the others: {', '.join(older)}."
