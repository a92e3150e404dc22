"""All figures of the report, by name, and how one is rendered."""

from __future__ import annotations

from matplotlib.figure import Figure

from mole_jax.report import style
from mole_jax.report.plots import (
    adam_curve,
    condition_bars,
    confusions,
    distance_histogram,
    few_shot_lines,
    methods,
    per_task,
    prompt_curve,
    support_curve,
    task_images,
    trajectory_lines,
    zoo_curves,
)
from mole_jax.report.spec import FigureSpec, Recorded

FIGURES: dict[str, FigureSpec] = {
    plot.FIGURE.name: plot.FIGURE
    for plot in (
        task_images,
        confusions,
        methods,
        per_task,
        prompt_curve,
        trajectory_lines,
        condition_bars,
        support_curve,
        few_shot_lines,
        adam_curve,
        distance_histogram,
        zoo_curves,
    )
}


def render(spec: FigureSpec, data: Recorded) -> Figure:
    """Draw one figure in the report's style; what it needs must be there."""
    with style.canvas(spec.size) as (figure, axes):
        spec.draw(axes, data)
    return figure
