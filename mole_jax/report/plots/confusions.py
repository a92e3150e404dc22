"""Which classes are taken for which, by the network written for one task, and by Adam's."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from mole_jax.report import style
from mole_jax.report.spec import FigureSpec, Recorded

MOST = 6  # classes whose shares are written into the cells


def draw(axes: Axes, data: Recorded) -> None:
    axes.set_axis_off()
    for i, (title, shares) in enumerate(_shown(data)):
        cell = axes.inset_axes((0.06 + 0.5 * i, 0.1, 0.42, 0.78))
        cell.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        k = len(shares)
        cell.set_xticks(range(k))
        cell.set_yticks(range(k))
        cell.grid(visible=False)
        cell.spines[:].set_visible(False)
        cell.tick_params(length=0)
        cell.set_title(title, fontsize=9, color=style.INK)
        if i == 0:
            cell.set_ylabel("class")
        cell.set_xlabel("answer")
        for row, column in np.ndindex(k, k) if k <= MOST else ():
            share = shares[row, column]
            if share >= 0.005:
                # Fixed colours: the page's dark mode leaves the cells as they are.
                colour = "#ffffff" if share > 0.5 else "#202020"
                cell.text(column, row, f"{100 * share:.0f}", ha="center", va="center",
                          fontsize=8, color=colour)  # fmt: skip


def _shown(data: Recorded) -> list[tuple[str, np.ndarray]]:
    ours, adams = data["one_task_confusions"]
    found = [("MOLE", ours)]
    if adams.any():
        found.append(("Adam, the same examples", adams))
    return found


def caption(data: Recorded) -> str:
    ours = data["one_task_confusions"][0]
    apart = ours - np.diag(np.diag(ours))
    worst = np.unravel_index(apart.argmax(), apart.shape)
    if not apart.any():
        return "Percent of the test images of each class that get each answer: all are right."
    return (
        "Percent of the test images of each class that get each answer, in the same task. MOLE's "
        f"most frequent mistake takes class {worst[0]} for {worst[1]}: "
        f"{100 * apart[worst]:.0f} % of its images."
    )


FIGURE = FigureSpec(
    "confusions",
    "Its mistakes, and Adam's",
    ("one_task_confusions",),
    draw,
    caption,
    size=(4.6, 2.5),
)
