"""README's picture: examples of classes never seen, the network written for them, what it answers.

    python -m benchmarks.picture

Five digits and one image of each, drawn at random (the first seed, not the best one), shown to the
model glyphs-8, which has seen no digit. Accuracies are those of benchmarks/results/
shipped_models.json. Writes docs/picture.svg.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import mole_jax
from benchmarks import machine
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files
from mole_jax.report import style

OUT = Path(__file__).parents[1] / "docs" / "picture.svg"
DATA = "digits, 5 classes"  # in shipped_models.json
ROWS, COLUMNS = 5, 6  # of test images


def main() -> None:
    """Predict, draw, write."""
    figure = draw()
    files.write_bytes(OUT, style.to_svg(figure).encode())
    print(f"written: {OUT}")


def draw(seed: int = 0) -> Figure:
    """Draw the four panels, for digits and examples drawn from a seed."""
    drawn = np.random.default_rng(seed)
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8) * 255 / 16
    digits = np.sort(drawn.choice(10, 5, replace=False))
    shown = np.array([drawn.choice(np.flatnonzero(labels == digit)) for digit in digits])
    rest = np.setdiff1d(np.flatnonzero(np.isin(labels, digits)), shown)
    asked = drawn.choice(rest, ROWS * COLUMNS, replace=False)
    model = mole_jax.load("glyphs-8")
    nets = model.predict(images[shown], np.arange(5), n=8, key=jax.random.key(seed))
    answers = digits[np.asarray(nets.mean(images[asked])).argmax(-1)]
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(9.4, 2.75), layout="constrained")
        parts: Any = figure.subfigures(1, 4, width_ratios=(0.7, 1.5, 1.75, 2.4))
        _examples(parts[0], images[shown], digits)
        _weights(parts[1], nets)
        _answers(parts[2], images[asked], answers, labels[asked])
        _accuracies(parts[3].subplots())
        titles = (
            "one example\n of each class",
            "weights of one network,\nwritten in one pass",
            "answers for other images\n(thick frame: wrong)",
            "five digits, of which none\nwas trained on: accuracy (%)",
        )
        for part, title in zip(parts, titles, strict=True):
            part.suptitle(title, fontsize=9, color=style.INK)
    return figure


def _examples(part: Any, images: np.ndarray, digits: np.ndarray) -> None:
    for axes, image, digit in zip(part.subplots(5, 1), images, digits, strict=True):
        _image(axes, image)
        axes.set_ylabel(str(digit), rotation=0, labelpad=8, va="center", color=style.INK)


def _weights(part: Any, nets: Any) -> None:
    """Draw the kernels of the first network's convolution, and its last layer below them."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf[0]), nets.params)
    first = params["conv_0"]["kernel"][:, :, 0]  # [3, 3, channels]
    last = params["output"]["kernel"]  # [cells, cells, channels, classes]
    above, below = part.subfigures(2, 1, height_ratios=(1, 1))
    for i, axes in enumerate(above.subplots(2, 8).ravel()):
        _matrix(axes, first[:, :, i])
    axes = below.subplots()
    _matrix(axes, last.reshape(-1, last.shape[-1]).T)
    axes.set_aspect("auto")


def _answers(part: Any, images: np.ndarray, answers: np.ndarray, truth: np.ndarray) -> None:
    cells = part.subplots(ROWS, COLUMNS).ravel()
    for axes, image, answer, digit in zip(cells, images, answers, truth, strict=True):
        _image(axes, image)
        right = answer == digit
        colour = style.GENERATED if right else style.INK
        axes.set_ylabel(str(answer), rotation=0, labelpad=5, va="center", color=colour, fontsize=8)
        for spine in axes.spines.values():
            spine.set(visible=True, color=colour, linewidth=0.8 if right else 2)


def _accuracies(axes: Axes) -> None:
    """Draw accuracy against examples a class: MOLE's mean of 8, and each rival."""
    found = machine.known("shipped_models", "rows")[DATA]
    names = {
        "glyphs-8, mean of 8": ("MOLE", style.GENERATED),
        "SVM": ("SVM", style.BASELINE),
        "logistic regression": ("logistic\nregression", style.SECOND),
        "1-NN": ("1-NN", style.MUTED),
    }
    shots = [int(n) for n in found]
    ends = []
    for name, (label, colour) in names.items():
        scores = np.array([100 * np.array(own["accuracy"][name]) for own in found.values()])
        mean, half = scores.mean(1), 1.96 * scores.std(1, ddof=1) / np.sqrt(scores.shape[1])
        axes.errorbar(shots, mean, half, fmt="o-", color=colour, markersize=4, elinewidth=1)
        ends.append((float(mean[-1]), label, colour))
    axes.set_xscale("log")
    axes.set_xticks(shots, [str(n) for n in shots])
    axes.minorticks_off()
    axes.set_xlabel("examples of each class")
    style.label_ends(axes, ends, gap=0.12)


def _image(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, cmap="gray_r")
    _bare(axes)


def _matrix(axes: Axes, values: np.ndarray) -> None:
    top = np.abs(values).max()
    axes.imshow(values, cmap="PuOr", vmin=-top, vmax=top)
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)


if __name__ == "__main__":
    leave(explained(main))
