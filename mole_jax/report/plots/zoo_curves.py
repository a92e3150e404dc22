"""Learning curves of the zoo: what the model learns from."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from mole_jax.report import numbers, style
from mole_jax.report.findings import SPLIT_NAMES
from mole_jax.report.spec import FigureSpec, Recorded


def draw(axes: Axes, data: Recorded) -> None:
    steps, loss, split = data["zoo_steps"], data["zoo_loss"], data["zoo_split"].astype(str)
    names = {
        "train": ("training\nruns", style.GENERATED),
        "S0": ("S0", style.SECOND),
        "S1": ("S1", style.BASELINE),
    }
    ends = []
    for name, (label, colour) in names.items():
        rows = loss[split == name]  # [runs, S]
        if not len(rows):
            continue
        low, middle, high = np.nanpercentile(rows, [10, 50, 90], axis=0)
        axes.fill_between(steps, low, high, color=colour, alpha=0.14, linewidth=0)
        axes.plot(steps, middle, color=colour)
        ends.append((float(middle[-1]), label, colour))
    axes.set_yscale("log")
    style.log_loss_ticks(axes.yaxis)
    gaps = np.diff(steps)
    if steps.size > 2 and gaps.max() > 5 * gaps.min():
        axes.set_xscale("symlog", linthresh=float(steps[steps > 0][0]))
        axes.xaxis.set_major_formatter(FuncFormatter(style.plain))
    axes.set_xlim(steps[0], steps[-1])
    axes.set_xlabel("optimizer step")
    axes.set_ylabel(data.prompt_metric)
    style.label_ends(axes, ends)


def caption(data: Recorded) -> str:
    loss, split = data["zoo_loss"], data["zoo_split"].astype(str)
    train = loss[split == "train"] if (split == "train").any() else loss
    start, end = np.nanmedian(train[:, 0]), np.nanmedian(train[:, -1])
    counts = ", ".join(f"{(split == s).sum()} {s}" for s in ("train", *SPLIT_NAMES) if s in split)
    return (
        f"The examples MOLE learns from: over {int(data['zoo_steps'][-1])} steps the median "
        f"training run goes from a {data.asked} of {numbers.number(start)} to "
        f"{numbers.number(end)} "
        f"(lines: medians; bands: the middle 80 % of runs; {counts} runs)."
    )


FIGURE = FigureSpec(
    "zoo_curves",
    "The zoo the model learned from",
    ("zoo_steps", "zoo_loss", "zoo_split"),
    draw,
    caption,
)
