"""The figure of G.pt's variants, from what `gpt_variants` left in results/.

    python -m benchmarks.gpt_figure

Writes docs/gpt_variants.svg: for each zoo and split the test accuracy of generated networks, with
95 % intervals, with Adam's from the same starts and what guessing gives.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import machine
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files
from mole_jax.report import style

OUT = Path(__file__).parents[1] / "docs" / "gpt_variants.svg"
# (results, split, title)
PANELS = (
    ("gpt_one_task", "S0", "one task, 4 units,\nunseen runs"),
    ("gpt_one_task_long", "S0", "the same,\n12,000 steps"),
    ("gpt_one_task_long_seed1", "S0", "another task,\n12,000 steps"),
    ("gpt_variants", "S0", "200 tasks, 16 units,\nunseen runs"),
    ("gpt_variants", "S1", "the same, unseen\ndata subsets"),
)


def main() -> None:
    """Read the results, draw, write."""
    results = {
        name: json.loads((machine.RESULTS / f"{name}.json").read_text())["variants"]
        for name in {name for name, *_ in PANELS}
    }
    names = [*results["gpt_variants"]]
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(8.6, 0.5 + 0.27 * len(names)), layout="constrained")
        for axes, (result, split, title) in zip(
            figure.subplots(1, len(PANELS), sharey=True), PANELS, strict=True
        ):
            found = results[result]
            draw(axes, [found[name]["splits"][split] if name in found else None for name in names])
            axes.set_title(title, fontsize=9, color=style.INK)
            axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()  # shared by all
        figure.supxlabel("test accuracy (%), 95 % intervals (of one task: over starts)", fontsize=9)
    files.write_bytes(OUT, style.to_svg(figure).encode())
    print(f"written: {OUT}")


def draw(axes: Axes, rows: list[dict[str, Any] | None]) -> None:
    """Draw a dot and an interval for each variant, and lines for Adam and for guessing."""
    done = [(y, row) for y, row in enumerate(rows) if row is not None]
    for y, row in done:
        colour = style.GENERATED if y == len(rows) - 1 else style.BASELINE
        low, high = (100 * x for x in row["ci95"])
        axes.plot([low, high], [y, y], color=colour, linewidth=1.8)
        axes.plot(100 * row["score"], y, "o", color=colour, markersize=4.5, clip_on=False)
    for key, name, side, height in (
        ("adam", "Adam", "right", 0.1),
        ("chance", "guessing", "left", 0.04),
    ):
        x = 100 * done[-1][1][key]
        axes.axvline(x, color=style.MUTED, linewidth=1, dashes=(4, 3))
        axes.annotate(
            name,
            (x, height),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if side == "right" else 4, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            color=style.MUTED,
            fontsize=8,
        )
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 25, 50, 75])
    axes.grid(axis="y", visible=False)


if __name__ == "__main__":
    leave(explained(main))
