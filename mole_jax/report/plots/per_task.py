"""Score without training against score with Adam, one mark per task (or run, if of one task)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from mole_jax.report import findings, numbers, style
from mole_jax.report.spec import Array, FigureSpec, Recorded


def draw(axes: Axes, data: Recorded) -> None:
    adam, generated = data["adam_score"], data["generated_score"]
    best = _best_baseline_score(data)
    if best is not None:
        axes.scatter(
            adam,
            best[1],
            s=22,
            marker="x",
            color=style.BASELINE,
            linewidth=1.1,
            clip_on=False,
            label=best[0],
        )
    axes.scatter(
        adam,
        generated,
        s=24,
        color=style.GENERATED,
        edgecolor=style.PAPER,
        linewidth=0.5,
        label="MOLE (generated)",
        zorder=3,
        clip_on=False,
    )
    pad = 0.15 * (np.ptp(adam) + 0.005)
    left, right = adam.min() - pad, min(1.0, adam.max() + pad)
    axes.set_xlim(left, right)
    lowest = min(generated.min(), left, np.inf if best is None else best[1].min())
    axes.set_ylim(lowest - 0.06 * (right - lowest), right + 0.02 * (right - lowest))
    style.label_identity(axes, left + 0.02 * (right - left), "as good as Adam", above=True)
    style.percent_ticks(axes.xaxis)
    style.percent_ticks(axes.yaxis)
    metric = findings.metric(data.result)
    axes.set_xlabel(f"{metric} of Adam-trained networks (%)")
    axes.set_ylabel(f"{metric} without training (%)")
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.19),
        ncols=2,
        labelcolor="linecolor",
        handletextpad=0.1,
    )


def caption(data: Recorded) -> str:
    adam, generated = data["adam_score"], data["generated_score"]
    gap = adam - generated
    text = (
        "One mark per task, or per run if there is one task: on "
        f"{int((gap <= 0.01).sum())} of {len(gap)} the generated "
        "networks are within one point of Adam's or better; the worst one trails by "
        f"{numbers.number(100 * float(gap.max()), 2)} points."
    )
    best = _best_baseline_score(data)
    if best is not None:
        wins = int((generated > best[1]).sum())
        name = findings.in_sentence(best[0])
        text += f" MOLE is above {name}, the best baseline, on {wins} of {len(gap)}."
    return text


def _best_baseline_score(data: Recorded) -> tuple[str, Array] | None:
    """Return the best baseline and its score per task [T]: the headline's if it was recorded."""
    if not (data.has("baseline_names") and data.has("baseline_score")):
        return None
    names = [str(name) for name in data["baseline_names"]]
    rivals = [i for i, name in enumerate(names) if not findings.is_optimizer(name)]
    if not rivals:
        return None
    chosen = findings.best_baseline(data.result)
    if chosen is not None and chosen.key in names:
        best = names.index(chosen.key)
    else:
        best = max(rivals, key=lambda i: float(data["baseline_score"][i].mean()))
    return findings.method_name(data.result, names[best]), data["baseline_score"][best]


FIGURE = FigureSpec(
    "per_task",
    "Against Adam, one by one",
    ("generated_score", "adam_score"),
    draw,
    caption,
)
