"""Distances to the nearest training network: generated against independently trained networks."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from mole_jax.report import numbers, style
from mole_jax.report.spec import FigureSpec, Recorded


def draw(axes: Axes, data: Recorded) -> None:
    generated, held_out = data["novelty_generated"], data["novelty_heldout"]
    top = 1.05 * max(np.max(generated), np.max(held_out))
    bins = np.linspace(0.0, top, 41).tolist()
    for values, colour in ((held_out, style.MUTED), (generated, style.GENERATED)):
        weights = np.full(len(values), 1.0 / len(values))
        axes.hist(values, bins, weights=weights, color=colour, alpha=0.25, linewidth=0)
        axes.hist(values, bins, weights=weights, color=colour, histtype="step", linewidth=1.5)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.3)
    labels = [
        (float(np.median(generated)), style.GENERATED, "generated"),
        (float(np.median(held_out)), style.MUTED, "independent runs"),
    ]
    # Both names on the side with room, the outer one higher, so that no name crosses a line.
    labels.sort(key=lambda label: label[0])
    leftwards = labels[0][0] > 0.45 * top
    heights = (0.86, 0.97) if leftwards else (0.97, 0.86)
    for (middle, colour, text), height in zip(labels, heights, strict=True):
        axes.plot(
            [middle, middle],
            [0, height],
            transform=axes.get_xaxis_transform(),
            color=colour,
            linewidth=1,
            dashes=(2, 2),
        )
        axes.annotate(
            f"{text}: {numbers.short(middle)}",
            (middle, height),
            xycoords=("data", "axes fraction"),
            xytext=(-5 if leftwards else 5, 0),
            textcoords="offset points",
            ha="right" if leftwards else "left",
            va="top",
            color=colour,
            fontsize=8.5,
        )
    axes.set_xlim(0, top)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f}"))
    axes.set_xlabel("distance to the nearest training network (0 = a copy)")
    axes.set_ylabel("networks (%)")


def caption(data: Recorded) -> str:
    generated, held_out = data["novelty_generated"], data["novelty_heldout"]
    ratio = float(np.median(generated) / np.median(held_out))
    novelty = data.result.get("novelty", {})
    text = (
        f"The median generated network is {numbers.short(ratio)} times as far from its nearest "
        "training network as an independently trained one is"
    )
    z = novelty.get("z_u")
    if numbers.known(z):
        text += f" (Z_U = {numbers.number(z, 2)}): " + (
            "generated networks lie closer to the training runs than independent runs do."
            if z < -2
            else "no sign of copying."
        )
        return text
    return text + "."


FIGURE = FigureSpec(
    "novelty",
    "Distance to the nearest training network",
    ("novelty_generated", "novelty_heldout"),
    draw,
    caption,
)
