"""Accuracy of every method against the number of examples of each class."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from mole_jax.report import findings, numbers, style
from mole_jax.report.spec import FigureSpec, Recorded


def draw(axes: Axes, data: Recorded) -> None:
    shots, accuracy = data["few_shot_shots"], data["few_shot_accuracy"]  # [S], [S, M]
    methods = [str(name) for name in data["few_shot_methods"]]
    best = _best(data)
    ends = []
    for m, name in enumerate(methods):
        colour, width = style.MUTED, 1.0
        if m == 0:
            colour, width = style.GENERATED, 2.2
        elif name == best:
            colour, width = style.BASELINE, 1.8
        axes.plot(shots, accuracy[:, m], color=colour, linewidth=width, marker="o", markersize=3.5)
        ends.append((float(accuracy[-1, m]), _label(data, methods, m), colour))
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(shots, [f"{int(n)}" for n in shots])
    style.label_ends(axes, ends)
    style.percent_ticks(axes.yaxis)
    axes.set_xlabel("examples of each class")
    axes.set_ylabel(f"{findings.metric(data.result)} (%), mean over tasks")


def caption(data: Recorded) -> str:
    shots, accuracy = data["few_shot_shots"], data["few_shot_accuracy"]
    methods, best = [str(name) for name in data["few_shot_methods"]], _best(data)
    rival = methods.index(best)
    parts = [
        f"{numbers.percent(float(row[0]))} against {numbers.percent(float(row[rival]))} "
        f"from {int(n)}"
        for n, row in zip(shots, accuracy, strict=True)
    ]
    return (
        f"MOLE's mean of networks against {_label(data, methods, rival)}, on average the "
        f"best of the others on the same examples: {', '.join(parts)} a class."
    )


def _best(data: Recorded) -> str:
    """Return the method other than the first that is the most accurate over all shots."""
    means = data["few_shot_accuracy"].mean(axis=0)
    return str(data["few_shot_methods"][1 + int(means[1:].argmax())])


def _label(data: Recorded, methods: list[str], m: int) -> str:
    return str(data.result.get("few_shot", {}).get("labels", {}).get(methods[m], methods[m]))


FIGURE = FigureSpec(
    "few_shot",
    "Learning from few examples",
    ("few_shot_shots", "few_shot_accuracy"),
    draw,
    caption,
)
