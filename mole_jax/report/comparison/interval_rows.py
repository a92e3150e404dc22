"""The page's figure: for each split a dot with its interval for every run, Adam's dashed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mole_jax.report import findings, numbers, style
from mole_jax.report.comparison.recorded_run import Run, splits_of

ROW = 0.24  # inches, of a run and of a split's name
REST = 0.95  # inches, of the axis and the legend
BELOW = 0.22  # rows between a run's dot and that of Adam
APART = 0.35  # rows between two splits
LONGEST = 24  # characters of a run's name


def render(runs: Sequence[Run]) -> Figure:
    """Draw the figure, as high as it has rows."""
    splits = splits_of(runs)
    n_rows = sum(split in run.splits for split in splits for run in runs)
    height = ROW * (n_rows + (1 + APART) * len(splits)) + REST
    with style.canvas((style.SIZE[0], height)) as (figure, axes):
        _draw(axes, runs, splits)
    return figure


def caption(runs: Sequence[Run]) -> str:
    """Say what the figure shows."""
    few = any(_adam(run.splits[split]) is None for run in runs for split in run.splits)
    return (
        "Mean test score of generated networks (dots) with the 95 % interval over tasks, and of "
        "Adam from the same starts (rings, dashed)"
        + (", where it was measured" if few else "")
        + ". Intervals of two runs on the same tasks may overlap although one is always better: "
        "the differences by task show that."
    )


def _draw(axes: Axes, runs: Sequence[Run], splits: Sequence[str]) -> None:
    at, ticks = 0.0, []
    for split in splits:
        heading = axes.annotate(
            findings.split_name(split),
            (0.01, at),
            xycoords=("figure fraction", "data"),
            va="center",
            fontsize=8.5,
            fontweight="bold",
        )
        heading.set_in_layout(False)  # it may extend over the names and the axes
        at += 1.0
        for run in runs:
            if split in run.splits:
                result = run.splits[split]
                _interval(axes, result["generated"], at, style.GENERATED, is_ours=True)
                _interval(axes, _adam(result), at + BELOW, style.INK, is_ours=False)
                ticks.append((at, run.name))
                at += 1.0
        at += APART
    axes.set_ylim(at - APART - 0.5, -0.5)  # the first row on top
    axes.set_yticks([y for y, _ in ticks], [_shortened(name) for _, name in ticks])
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    axes.spines["left"].set_visible(False)
    axes.grid(False, axis="y")
    style.percent_ticks(axes.xaxis)
    metrics = dict.fromkeys(findings.metric(r) for run in runs for r in run.splits.values())
    axes.set_xlabel(f"mean test {' or '.join(metrics)} (%) and 95 % interval")
    axes.legend(
        handles=[
            Line2D([], [], color=style.GENERATED, marker="o", markersize=5, label="MOLE"),
            Line2D(
                *([], []),
                color=style.INK,
                linestyle="--",
                linewidth=1.1,
                marker="o",
                markersize=4,
                markerfacecolor="none",
                label="Adam, same starts",
            ),
        ],
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=2,
    )


def _interval(
    axes: Axes, quality: Mapping[str, Any] | None, at: float, colour: str, *, is_ours: bool
) -> None:
    """Draw a mean and its interval: Adam's as a ring on a dashed line."""
    if quality is None:
        return
    ci = quality.get("ci95") or ()
    if len(ci) == 2 and all(map(numbers.known, ci)):
        line: dict[str, Any] = (
            {"linewidth": 2.6, "alpha": 0.5}
            if is_ours
            else {"linewidth": 1.1, "dashes": (2.5, 1.5)}
        )
        axes.plot(ci, [at, at], color=colour, **line)
    axes.plot(
        quality["mean"],
        at,
        "o",
        color=colour,
        markersize=5 if is_ours else 4,
        markerfacecolor=colour if is_ours else style.PAPER,
        markeredgewidth=1.0,
    )


def _adam(result: findings.Result) -> Mapping[str, Any] | None:
    """Return Adam's quality, or None if its mean is not recorded."""
    found = result.get("adam") or {}
    return found if numbers.known(found.get("mean")) else None


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"
