"""One quiet look for every figure, and colours that the page can exchange for its dark mode.

Figures are narrow (4.2 inches) with 9 point text: at a phone's width they are shown near their true
size. Colours are Okabe and Ito's, distinguishable with colour-blind eyes; each role has one colour
in all figures.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import offset_copy

# Each colour is also a CSS variable of the page (html.py), so each must differ from all others.
INK = "#1b1f24"
MUTED = "#68707a"
GRID = "#e4e7eb"
PAPER = "#fefefe"
GENERATED = "#0072b2"
BASELINE = "#d55e00"
SECOND = "#009e73"

CSS_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    GENERATED: "--generated",
    BASELINE: "--baseline",
    SECOND: "--second",
}

# Low loss dark blue-green to high loss orange, without the ends that vanish on white or on black.
LOSS_COLOURS = LinearSegmentedColormap.from_list(
    "loss", ["#2a7fc4", "#22a38a", "#b5a12c", "#e0702a", "#c8324f"]
)

SIZE = (4.2, 3.1)

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "path",
    "svg.hashsalt": "mole",
}


@contextmanager
def canvas(size: tuple[float, float] = SIZE) -> Iterator[tuple[Figure, Axes]]:
    """Open an empty figure with one axes in the report's style; draw inside the `with`."""
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.add_subplot()


def to_png(figure: Figure, dpi: int = 200) -> bytes:
    """Return the figure as PNG bytes, on paper white, for slides and READMEs."""
    with matplotlib.rc_context(RC):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure) -> str:
    """Return the figure as an SVG document with the light colours; the same bytes every time."""
    with matplotlib.rc_context(RC):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def inline_svg(svg: str, name: str, label: str) -> str:
    """Return the SVG as an HTML element: scalable, CSS colours, ids unique to `name`."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(xlink:href=")#', rf"\1#{name}-", body)
    body = body.replace("url(#", f"url(#{name}-")
    for colour, variable in CSS_VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    # Width and height in points would fix the size; the viewBox alone lets the page choose it.
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{label}">{rest}'


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], gap: float = 0.075) -> None:
    """Write names at the right edge next to their lines, pushed apart where they would touch.

    ends: (y in data units, text, colour) per line. gap: smallest distance, as a fraction of the
    axes' height. Call it last: it needs the final y limits and scale.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    x = axes.get_xlim()[1]
    heights = np.array([to_axes.transform((x, y))[1] for y, _, _ in ends])
    order = np.argsort(heights)
    placed = heights[order].copy()
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    # Pushing only upwards would move the group; put its middle back, and all next to the axes.
    placed -= placed.mean() - heights.mean()
    for i in reversed(range(len(placed))):
        above = placed[i + 1] - gap if i + 1 < len(placed) else 1.0
        placed[i] = min(placed[i], above)
    for i in range(len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap if i else 0.0)
    for height, i in zip(placed, order, strict=True):
        axes.annotate(
            ends[i][1],
            (1.0, height),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            color=ends[i][2],
            va="center",
            fontsize=8.5,
        )


def label_identity(axes: Axes, at: float, text: str, *, above: bool) -> None:
    """Draw the line y = x and write along it, beginning at `at`; call it when limits are final."""
    low, high = min(axes.get_xlim()[0], axes.get_ylim()[0]), max(*axes.get_xlim(), *axes.get_ylim())
    axes.plot(
        [low, high],
        [low, high],
        color=MUTED,
        linewidth=1,
        dashes=(4, 3),
        scalex=False,
        scaley=False,
    )
    axes.text(
        at,
        at,
        f" {text}",
        color=MUTED,
        fontsize=8.5,
        va="bottom" if above else "top",
        rotation=45,
        rotation_mode="anchor",
        transform_rotates_text=True,
        transform=offset_copy(
            axes.transData, axes.get_figure(root=True), 0, 1 if above else -4, "points"
        ),
    )


def plain(value: float, _: int) -> str:
    """Return a tick label without exponent or trailing zeros."""
    return f"{value:g}"


MOST_DECADES = 2.5  # with more of them, numbers between the powers of ten would overlap


def log_loss_ticks(axis: Axis) -> None:
    """Set ticks at 1, 2, 5 of each decade, written as plain numbers; of many decades, at 1 alone.

    Call it when the limits are set.
    """
    low, high = axis.get_view_interval()
    many = high > 10**MOST_DECADES * low > 0
    axis.set_major_locator(LogLocator(subs=(1.0,) if many else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(plain))
    axis.set_minor_formatter(NullFormatter())


def percent_ticks(axis: Axis) -> None:
    """Write fractions of 1 in percent; the % sign is in the axis label."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))
