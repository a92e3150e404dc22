"""Mean score of every method on the same starts, with intervals."""

from __future__ import annotations

from matplotlib.axes import Axes

from mole_jax.report import findings, numbers, style
from mole_jax.report.spec import FigureSpec, Recorded


def draw(axes: Axes, data: Recorded) -> None:
    rows = sorted(findings.methods(data.result), key=lambda method: -method.mean)
    rows = [row for row in rows if numbers.known(row.quality.get("mean"))]
    best = findings.best_baseline(data.result)
    low = min(min([r.mean, *(r.quality.get("ci95") or [])]) for r in rows)
    for at, row in enumerate(reversed(rows)):
        colour = style.MUTED
        if row.key == "generated":
            colour = style.GENERATED
        elif best is not None and row.key == best.key:
            colour = style.BASELINE
        elif findings.is_optimizer(row.key):
            colour = style.INK
        if row.quality.get("ci95"):
            axes.plot(row.quality["ci95"], [at, at], color=colour, linewidth=3.2, alpha=0.45)
        axes.plot(row.mean, at, "o", color=colour, markersize=6)
        axes.annotate(
            numbers.percent(row.mean),
            (1.0, at),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=8.5,
        )
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    right = max(max([r.mean, *(r.quality.get("ci95") or [])]) for r in rows)
    axes.set_xlim(low - 0.04 * (right - low) - 1e-3, right + 0.03 * (right - low) + 1e-3)
    style.percent_ticks(axes.xaxis)
    axes.set_xlabel(f"mean test {findings.metric(data.result)} (%) and 95 % interval")


def caption(data: Recorded) -> str:
    rows = sorted(findings.methods(data.result), key=lambda method: -method.mean)
    place = 1 + [row.key for row in rows].index("generated")
    above = [row.name for row in rows[: place - 1]]
    text = f"MOLE is number {place} of {len(rows)}" + (
        f", behind {_join(above)}." if above else "."
    )
    best = findings.best_baseline(data.result)
    if best is not None:
        gap = data.result["generated"]["mean"] - best.mean
        side = "below" if gap > 0 else "above"
        text += (
            f" {best.name}, the best baseline, is {numbers.short(abs(100 * gap))} points {side} it."
        )
    return text


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


FIGURE = FigureSpec(
    "methods",
    "Every method on the same starts",
    ("generated",),
    draw,
    caption,
)
