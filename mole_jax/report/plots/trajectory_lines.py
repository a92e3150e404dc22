"""Training runs of one task in two dimensions, with the predicted steps drawn in."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm

from mole_jax.report import numbers, style
from mole_jax.report.spec import FigureSpec, Recorded


def draw(axes: Axes, data: Recorded) -> None:
    paths, loss = data["pca_trajectories"], data["pca_loss"]  # [runs, S, 2], [runs, S]
    start, predicted = data["pca_start"], data["pca_predicted"]  # [n, 2], [prompts, n, 2]
    prompts = data["pca_prompts"]
    norm = LogNorm(*np.nanpercentile(np.concatenate([loss.ravel(), prompts]), [0, 100]))
    segments = np.stack([paths[:, :-1], paths[:, 1:]], axis=2).reshape(-1, 2, 2)
    lines = LineCollection(
        list(segments), cmap=style.LOSS_COLOURS, norm=norm, linewidth=1.0, alpha=0.55, zorder=2
    )
    lines.set_array(loss[:, 1:].ravel())
    axes.add_collection(lines)
    for group in predicted:
        for a, b in zip(start, group, strict=True):
            axes.plot(*np.stack([a, b]).T, color=style.INK, linewidth=0.6, alpha=0.6, zorder=3)
    axes.scatter(
        start[:, 0],
        start[:, 1],
        s=26,
        facecolor=style.PAPER,
        edgecolor=style.INK,
        linewidth=0.9,
        zorder=4,
    )
    for prompt, group in zip(prompts, predicted, strict=True):
        colour = [style.LOSS_COLOURS(norm(prompt))]
        axes.scatter(
            group[:, 0],
            group[:, 1],
            s=30,
            c=colour,
            marker="D",
            edgecolor=style.INK,
            linewidth=0.7,
            zorder=5,
        )
    points = np.concatenate([paths.reshape(-1, 2), start, predicted.reshape(-1, 2)])
    low, high = points.min(axis=0), points.max(axis=0)
    pad = 0.08 * (high - low)
    axes.set_xlim(low[0] - pad[0], high[0] + pad[0])
    axes.set_ylim(low[1] - pad[1], high[1] + pad[1])
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("first principal direction of the weights")
    axes.set_ylabel("second principal direction")
    figure = axes.figure
    bar = figure.colorbar(
        ScalarMappable(norm, style.LOSS_COLOURS), ax=axes, fraction=0.045, pad=0.02
    )
    bar.set_label(f"{data.asked}: of a run, or asked for")
    bar.outline.set_visible(False)
    style.log_loss_ticks(bar.ax.yaxis)
    marks = [
        axes.plot([], [], color=style.LOSS_COLOURS(0.25), linewidth=1.2)[0],
        axes.plot([], [], "o", color=style.PAPER, markeredgecolor=style.INK, markersize=5)[0],
        axes.plot(
            [], [], "D", color=style.LOSS_COLOURS(0.0), markeredgecolor=style.INK, markersize=5
        )[0],
    ]
    figure.legend(
        marks,
        ["training run", "start", "predicted"],
        loc="outside lower center",
        ncols=3,
        columnspacing=1.2,
        handletextpad=0.4,
    )


def caption(data: Recorded) -> str:
    start, predicted = data["pca_start"], data["pca_predicted"]
    asked = ", ".join(numbers.short(float(p)) for p in data["pca_prompts"])
    ends = data["pca_trajectories"][:, -1]  # [runs, 2]
    best = predicted[int(np.argmin(data["pca_prompts"]))]  # [n, 2]
    left = np.linalg.norm(best[:, None] - ends[None], axis=-1).min(axis=1)
    begun = np.linalg.norm(start[:, None] - ends[None], axis=-1).min(axis=1)
    share = float(np.median(left / np.maximum(begun, 1e-12)))
    return (
        "One task, weights projected to two dimensions. Runs (thin lines) need many "
        f"steps; MOLE goes from each start (circle) in one pass to the prompts {asked} "
        "(diamonds, coloured by what was asked). For the lowest prompt the median prediction lies "
        f"{numbers.percent(share, 0)} as far from the nearest trained network as its start did."
    )


FIGURE = FigureSpec(
    "trajectories",
    "One step through weight space",
    ("pca_trajectories", "pca_loss", "pca_start", "pca_predicted", "pca_prompts"),
    draw,
    caption,
    (4.2, 3.7),
)
