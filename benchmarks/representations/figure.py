"""The study of media as one figure, from what the queue left in results/.

    python -m benchmarks.representations.figure

Writes docs/representations.svg: a panel for each experiment and split with the score of each medium
(a dot for each seed, filled with gradients on probes, hollow without), 95 % intervals and what Adam
reaches; and, where wider MLPs were tried, the score against the number of parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.representations import tables
from benchmarks.representations.cells import MEDIA
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files
from mole_jax.report import style

OUT = Path(__file__).parents[2] / "docs" / "representations.svg"
# Experiment, split, title.
PANELS = (
    ("mlp", "S1", "MLP, digits"),
    ("cnn", "S1", "CNN, digits"),
    ("vit", "S1", "ViT, digits"),
    ("cartpole", "S1", "policies, cartpole"),
    ("glyphs", "S2", "MLP, new characters"),
    ("glyphs", "S3", "MLP, digits\nnever seen"),
)
Row = Mapping[str, Any]


def main() -> None:
    """Read the results, draw, write."""
    figure = draw(tables.found())
    files.write_bytes(OUT, style.to_svg(figure).encode())
    print(f"written: {OUT}")


def draw(rows: Sequence[Row]) -> Figure:
    """Draw what there is: panels of experiments above, growth below."""
    panels = [p for p in PANELS if any(row["experiment"] == p[0] for row in rows)]
    there = [name for name in MEDIA if any(row["medium"] == name for row in rows)]
    growth = [row for row in rows if row["experiment"].startswith("mlp-")]
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(1.6 + 1.7 * len(panels), 5.6 if growth else 3.0))
        figure.set_layout_engine("constrained")
        parts = figure.subfigures(
            2 if growth else 1, 1, squeeze=False, height_ratios=(1.1, 1) if growth else (1,)
        )[:, 0]
        grid = parts[0].subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (experiment, split, title) in zip(grid, panels, strict=True):
            own = [row for row in rows if row["experiment"] == experiment and tables.plain(row)]
            _media(axes, own, split, there)
            axes.set_title(title, fontsize=9, color=style.INK)
        grid[0].set_yticks(range(len(there)), [MEDIA[name].label for name in there])
        grid[0].invert_yaxis()  # shared by all
        parts[0].supxlabel(
            "score (%), 95 % intervals; filled: with gradients on probes, hollow: without; "
            "dashed: Adam, PPO",
            fontsize=9,
        )
        if growth:
            _growth(parts[1].subplots(), growth)
    return figure


def _media(axes: Axes, rows: Sequence[Row], split: str, there: Sequence[str]) -> None:
    for row in rows:
        own = row["splits"][split]
        shift = 0.14 if row["follows"] else -0.14
        y = there.index(row["medium"]) - shift + 0.07 * (row["seed"] - 0.5)
        colour = style.GENERATED if row["follows"] else style.BASELINE
        low, high = (100 * x for x in own["ci95"])
        axes.plot([low, high], [y, y], color=colour, linewidth=1.2)
        face = colour if row["follows"] else style.PAPER
        axes.plot(
            100 * own["mean"], y, "o", color=colour, markerfacecolor=face, markersize=4.5
        )  # fmt: skip
    if rows:
        axes.axvline(
            100 * rows[0]["splits"][split]["adam"],
            color=style.MUTED,
            linewidth=1,
            dashes=(4, 3),
        )
    axes.grid(axis="y", visible=False)


def _growth(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw a line of scores for each medium, against the networks' number of parameters."""
    ends = []
    colours = (style.GENERATED, style.BASELINE, style.SECOND, style.INK, style.MUTED)
    for i, medium in enumerate(m for m in MEDIA if any(row["medium"] == m for row in rows)):
        own = sorted(tables.by_size(rows, medium).items())
        colour, dashes = colours[i % 5], (None, None) if i < 5 else (2, 2)
        scores = [100 * score for _, score in own]
        axes.plot(
            [size for size, _ in own], scores, "o-", color=colour, markersize=4, dashes=dashes
        )
        ends.append((scores[-1], MEDIA[medium].label, colour))
    sizes = sorted({row["network_size"] for row in rows})
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("parameters of a network (MLPs 64-h-5 for digits; S1, mean over seeds)")
    axes.set_ylabel("score (%)")
    style.label_ends(axes, ends)


if __name__ == "__main__":
    leave(explained(main))
