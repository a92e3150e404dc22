"""Score against the number of support examples."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from mole_jax.report import findings, numbers, style
from mole_jax.report.spec import FigureSpec, Recorded


def draw(axes: Axes, data: Recorded) -> None:
    sizes, score = data["support_sizes"], data["support_score"]  # [K], [K, T]
    low, high = np.nanpercentile(score, [10, 90], axis=1)
    axes.fill_between(sizes, low, high, color=style.GENERATED, alpha=0.16, linewidth=0)
    mean = np.nanmean(score, axis=1)
    axes.plot(sizes, mean, color=style.GENERATED, marker="o", markersize=4)
    if sizes.min() > 0 and sizes.max() > 8 * sizes.min():
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(sizes, [f"{int(size)}" for size in sizes])
    for at, offset, side in ((0, (8, -5), "left"), (-1, (0, 7), "right")):
        axes.annotate(
            numbers.percent(float(mean[at])),
            (sizes[at], mean[at]),
            xytext=offset,
            textcoords="offset points",
            ha=side,
            color=style.GENERATED,
            fontsize=8.5,
        )
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.08 * (top - bottom))
    style.percent_ticks(axes.yaxis)
    axes.set_xlabel("examples in the support set")
    metric = findings.metric(data.result)
    axes.set_ylabel(f"{metric} (%), mean and\nmiddle 80 % of tasks")


def caption(data: Recorded) -> str:
    sizes, mean = data["support_sizes"], np.nanmean(data["support_score"], axis=1)
    return (
        f"With {int(sizes[0])} examples MOLE reaches {numbers.percent(float(mean[0]))}, "
        f"with {int(sizes[-1])} it reaches {numbers.percent(float(mean[-1]))}."
    )


FIGURE = FigureSpec(
    "support",
    "How many examples it takes",
    ("support_sizes", "support_score"),
    draw,
    caption,
)
