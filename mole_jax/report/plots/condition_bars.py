"""How much of the score each condition is worth."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from mole_jax.report import findings, numbers, style
from mole_jax.report.spec import FigureSpec, Recorded

CONDITIONS = {"support": "support set", "target_metric": "loss asked for", "start": "start"}


def draw(axes: Axes, data: Recorded) -> None:
    gaps = _condition_gaps(data)
    y = np.arange(len(gaps))[::-1]
    values = 100 * np.array([value for _, value in gaps])
    axes.barh(y, values, height=0.5, color=style.GENERATED)
    axes.axvline(0, color=style.MUTED, linewidth=0.8)
    reach = max(values.max(), 1.0) - min(values.min(), 0.0)
    for at, value in zip(y, values, strict=True):
        text = f"{value:+.1f}".replace("-", "−")
        axes.text(max(value, 0) + 0.02 * reach, at, text, va="center", fontsize=9, color=style.INK)
    axes.set_xlim(min(values.min() * 1.1, 0.0), max(values.max(), 1.0) + 0.17 * reach)
    axes.set_yticks(y, [CONDITIONS.get(key, key.replace("_", " ")) for key, _ in gaps])
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{findings.metric(data.result)} lost when the condition is shuffled (points)")


def caption(data: Recorded) -> str:
    gaps = sorted(_condition_gaps(data), key=lambda gap: -gap[1])
    key, value = gaps[0]
    if value < 0.005:
        return "No condition matters: shuffling any of them costs less than half a point."
    idle = [CONDITIONS.get(k, k) for k, v in gaps if abs(v) < 0.005]
    text = (
        f"Given the {CONDITIONS.get(key, key)} of another network instead of its own, MOLE loses "
        f"{numbers.number(100 * value, 3)} points: the largest use of any condition."
    )
    if idle:
        metric = findings.metric(data.result)
        text += (
            f" Shuffling the {' or the '.join(idle)} changes {metric} by less than half a point."
        )
    return text


def _condition_gaps(data: Recorded) -> list[tuple[str, float]]:
    gaps = data.result["condition_use_gap"]
    return [(key, float(value)) for key, value in gaps.items() if numbers.known(value)]


FIGURE = FigureSpec(
    "conditions",
    "What the model listens to",
    ("condition_use_gap",),
    draw,
    caption,
    (4.2, 2.0),
)
