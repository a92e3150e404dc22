"""What was asked for against what was achieved, over networks."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from mole_jax.report import numbers, style
from mole_jax.report.spec import FigureSpec, Recorded


def draw(axes: Axes, data: Recorded) -> None:
    prompts, achieved = data["prompts"], data["achieved_loss"]
    order = np.argsort(prompts)
    low, middle, high = np.nanpercentile(achieved, [10, 50, 90], axis=0)[:, order]
    x = prompts[order]
    axes.set_xscale("log")
    axes.set_yscale("log")
    if data.has("zoo_loss_range"):
        first, last = data["zoo_loss_range"]
        axes.axvspan(first, last, color=style.GRID, alpha=0.55, linewidth=0, zorder=0)
        axes.text(
            np.sqrt(max(first, x[0] / 1.3) * min(last, x[-1] * 1.3)),
            0.98,
            "what the zoo holds",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            color=style.MUTED,
            fontsize=8,
        )
    axes.fill_between(x, low, high, color=style.GENERATED, alpha=0.18, linewidth=0)
    axes.plot(x, middle, color=style.GENERATED, marker="o", markersize=3)
    axes.set_xlim(x[0] / 1.15, x[-1] * 1.15)
    bottom, top = min(x[0], low.min()) / 1.2, max(x[-1], high.max()) * 1.4
    axes.set_ylim(bottom, top)
    style.label_identity(axes, float(x[len(x) // 8]), "exactly as asked", above=False)
    style.log_loss_ticks(axes.xaxis)
    style.log_loss_ticks(axes.yaxis)
    axes.set_xlabel(f"{data.asked} asked for")
    axes.set_ylabel(f"test {data.asked} achieved")
    at = int(0.62 * (len(x) - 1))
    axes.annotate(
        "achieved, median\nand middle 80 %",
        (x[at], low[at]),
        xytext=(10, -20),
        textcoords="offset points",
        color=style.GENERATED,
        fontsize=8.5,
        va="top",
    )


def caption(data: Recorded) -> str:
    prompts, middle = data["prompts"], np.nanmedian(data["achieved_loss"], axis=0)
    best = int(np.argmin(prompts))
    off = np.abs(np.log(middle / prompts))
    alignment = data.result.get("prompt_alignment", {})
    return (
        f"Asked for a {data.asked} of {numbers.short(float(prompts[best]))}, the median network "
        f"reaches {numbers.short(float(middle[best]))}; over all prompts the median is off by a "
        f"factor of {numbers.number(float(np.exp(off.max())), 2)} at worst. R² per network is "
        f"{numbers.number(alignment.get('r2_mean'), 2)} on average (1 is perfect obedience)."
    )


FIGURE = FigureSpec(
    "prompt",
    "What was asked for, and what came",
    ("prompts", "achieved_loss"),
    draw,
    caption,
)
