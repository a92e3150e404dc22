"""Accuracy of every method against the number of examples of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from mole_jax.report import findings, numbers, style
from mole_jax.report.spec import FigureSpec, Recorded

ROOM = 12  # names that stand next to a figure of the usual height


def draw(axes: Axes, data: Recorded) -> None:
    shots, methods, accuracy = _numbers(data)
    best, ends = _best(methods, accuracy), []
    for m, label in enumerate(methods):
        colour, width = style.MUTED, 1.0
        if m == 0:
            colour, width = style.GENERATED, 2.2
        elif m == best:
            colour, width = style.BASELINE, 1.8
        axes.plot(shots, accuracy[:, m], color=colour, linewidth=width, marker="o", markersize=3.5)
        ends.append((float(accuracy[-1, m]), label, colour))
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(shots, [f"{n}" for n in shots])
    if len(ends) > ROOM:  # a taller figure, so that names stay next to it
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.set_figheight(figure.get_figheight() * len(ends) / ROOM)
    style.label_ends(axes, ends, gap=min(0.075, 1 / max(len(ends) - 1, 1)))
    style.percent_ticks(axes.yaxis)
    axes.set_xlabel("examples of each class")
    axes.set_ylabel(f"{findings.metric(data.result)} (%), mean over tasks")


def caption(data: Recorded) -> str:
    shots, methods, accuracy = _numbers(data)
    rival = _best(methods, accuracy)
    parts = [
        f"{numbers.percent(float(row[0]))} against {numbers.percent(float(row[rival]))} from {n}"
        for n, row in zip(shots, accuracy, strict=True)
    ]
    return (
        f"MOLE's mean of networks against {methods[rival]}, on average the "
        f"best of the others on the same examples: {', '.join(parts)} per class."
    )


def _numbers(data: Recorded) -> tuple[list[int], list[str], np.ndarray]:
    """Return shots [S], labels of methods [M], and the accuracy of their means [S, M]."""
    found = data.result["few_shot"]
    accuracy = [
        [methods[name]["mean"]["accuracy"] for name in found["labels"]]
        for methods in found["shots"].values()
    ]
    return list(map(int, found["shots"])), list(found["labels"].values()), np.array(accuracy)


def _best(methods: Sequence[str], accuracy: np.ndarray) -> int:
    """Return the method that is the most accurate over all shots, other than the first.

    The first with its networks polished is no rival, either.
    """
    mine = {methods[0], f"{methods[0]}, polished"}
    mean = [-1.0 if m in mine else x for m, x in zip(methods, accuracy.mean(axis=0), strict=True)]
    return int(np.argmax(mean))


FIGURE = FigureSpec(
    "few_shot",
    "Learning from few examples",
    ("few_shot",),
    draw,
    caption,
    every_split=True,
)
