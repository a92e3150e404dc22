"""Adam's loss over its steps, and where one prediction falls on it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from mole_jax.report import numbers, style
from mole_jax.report.spec import FigureSpec, Recorded


def draw(axes: Axes, data: Recorded) -> None:
    steps, loss = data["adam_curve_steps"], data["adam_curve_loss"]
    level = float(data["generated_loss_median"])
    axes.set_yscale("log")
    axes.plot(steps, loss, color=style.INK)
    axes.axhline(level, color=style.GENERATED)
    reached = np.flatnonzero(loss <= level)
    if reached.size:
        at = steps[reached[0]]
        axes.plot(
            [at, at],
            [1e-9, level],
            color=style.GENERATED,
            linewidth=1,
            dashes=(2, 2),
        )
    bottom = min(level, float(np.nanmin(loss))) / 1.35
    axes.set_ylim(bottom, float(np.nanmax(loss)) * 1.15)
    style.log_loss_ticks(axes.yaxis)
    axes.set_xlim(0, steps[-1])
    axes.set_xlabel("Adam steps from the same starts")
    axes.set_ylabel("median test loss")
    axes.annotate(
        "MOLE, one pass",
        (1, level),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 4),
        textcoords="offset points",
        ha="right",
        color=style.GENERATED,
        fontsize=8.5,
    )
    early = min(1 + len(steps) // 12, len(steps) - 1)
    axes.annotate(
        "Adam",
        (steps[early], loss[early]),
        xytext=(7, 3),
        textcoords="offset points",
        color=style.INK,
        fontsize=8.5,
    )


def caption(data: Recorded) -> str:
    steps, loss = data["adam_curve_steps"], data["adam_curve_loss"]
    level = float(data["generated_loss_median"])
    reached = np.flatnonzero(loss <= level)
    if not reached.size:
        return (
            f"Adam's median loss does not reach MOLE's {numbers.short(level)} within "
            f"{int(steps[-1])} steps."
        )
    return (
        f"Adam's median loss needs {int(steps[reached[0]])} steps to reach the "
        f"{numbers.short(level)} that MOLE's median network has after one pass."
    )


FIGURE = FigureSpec(
    "adam_curve",
    "What one pass is worth in Adam steps",
    ("adam_curve_steps", "adam_curve_loss", "generated_loss_median"),
    draw,
    caption,
)
