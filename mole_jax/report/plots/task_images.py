"""One task: the examples of each class, and what MOLE and Adam make of test images."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from mole_jax.report import style
from mole_jax.report.spec import FigureSpec, Recorded

COLUMNS = 6  # of test images
LEFT = 0.3  # share of the width for the examples


def draw(axes: Axes, data: Recorded) -> None:
    axes.set_axis_off()
    support, images = data["one_task_support"], data["one_task_images"]
    truth, (ours, adams) = data["one_task_truth"], data["one_task_answers"]
    low, high = np.nanmin(support), np.nanmax(support)
    k, n = support.shape[:2]
    for c in range(k):
        for i in range(n):
            cell = _cell(axes, c, i, k, n, 0.02, LEFT)
            if np.isfinite(support[c, i]).all():
                _image(cell, support[c, i], low, high)
        axes.text(0.0, 1 - (c + 0.4) / k, str(c), transform=axes.transAxes, va="center")
    rows = -(-len(images) // COLUMNS)
    for i, image in enumerate(images):
        cell = _cell(axes, i // COLUMNS, i % COLUMNS, rows, COLUMNS, LEFT + 0.06, 0.64)
        _image(cell, image, low, high)
        for answer, x, side, colour in (
            (ours[i], 0.0, "left", style.GENERATED),
            (adams[i], 1.0, "right", style.MUTED),
        ):
            if answer >= 0:
                wrong = answer != truth[i]
                cell.text(
                    x,
                    -0.04,
                    str(answer),
                    transform=cell.transAxes,
                    ha=side,
                    va="top",
                    fontsize=8,
                    color=style.BASELINE if wrong else colour,
                    fontweight="bold" if wrong else "normal",
                )


def _cell(
    axes: Axes, row: int, column: int, rows: int, columns: int, left: float, width: float
) -> Axes:
    """Return axes for one image of a grid, which takes a part of the width."""
    w, h = width / columns, 1 / rows
    box = (left + (column + 0.1) * w, 1 - (row + 0.78) * h, 0.8 * w, 0.74 * h)
    found = axes.inset_axes(box)
    found.set_xticks([])
    found.set_yticks([])
    found.spines[:].set_visible(False)
    found.grid(visible=False)
    return found


def _image(axes: Axes, image: np.ndarray, low: float, high: float) -> None:
    """Show an image: grey ones inverted, to be dark on bright; colours as they are."""
    scaled = np.clip((image - low) / (high - low + 1e-9), 0, 1)
    if scaled.shape[-1] == 1:
        axes.imshow(scaled[..., 0], cmap="gray_r", vmin=0, vmax=1)
    else:
        axes.imshow(scaled[..., :3])


def caption(data: Recorded) -> str:
    truth, (ours, adams) = data["one_task_truth"], data["one_task_answers"]
    text = (
        f"The first task of {data['one_task_split']}, not picked by hand. Left: examples of each "
        "class, among those that MOLE was shown. Right: test images, with MOLE's answer below on "
        f"the left, orange if it is wrong: {np.sum(ours == truth)} of {len(truth)} are right."
    )
    if (adams >= 0).all():
        text += (
            " Below on the right is the answer of Adam, trained on the same examples: "
            f"{np.sum(adams == truth)} are right."
        )
    return text


FIGURE = FigureSpec(
    "one_task",
    "One task",
    ("one_task_support", "one_task_images", "one_task_truth", "one_task_answers"),
    draw,
    caption,
    size=(4.6, 2.7),
)
