"""Whether networks get better from more examples than their model was trained with.

    python -m benchmarks.many_examples

Tasks of ten classes: characters of fonts and made-up ones, most of whose classes were trained on;
digits and clothes (Debian: dataset-fashion-mnist), of which no image was. All examples are looked
at, without the limit that `Model.predict` has. Digits are also shown several times each.

Writes benchmarks/results/many_examples.json, and prints the table of docs/models.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import mole_jax
from benchmarks import machine
from benchmarks.shipped_models import CLOTHES, NETWORKS
from mole_jax.core import rng
from mole_jax.core.program.command import explained, leave
from mole_jax.sampling import support
from mole_jax.tasks import sources

CLASSES = 10
# Source -> model, tasks, examples of each class, and others of each class to be tested on.
ROWS: dict[str, tuple[str, int, tuple[int, ...], int]] = {
    "glyphs": ("glyphs-8", 20, (5, 10, 20, 50, 75), 25),
    "strokes": ("glyphs-8", 20, (5, 10, 20, 50, 75), 25),
    "digits": ("glyphs-8", 8, (5, 10, 20, 50, 100, 140), 30),
    f"idx:{CLOTHES}": ("glyphs-28", 8, (5, 10, 20, 50, 100, 200, 800), 100),
}
COPIES = (1, 6)
REPEATED = 1400  # digits, of all of them


def main() -> None:
    """Measure, print a table, write JSON."""
    support.MANY = 10**6
    rows = {name: measured(name) for name in ROWS}
    every = sorted({n for _, _, sizes, _ in ROWS.values() for n in sizes})
    cells = [
        [name, *(_cell(found["accuracy"].get(str(n))) for n in every)]
        for name, found in rows.items()
    ]
    print(machine.table(["examples of each class", *map(str, every)], cells))
    copies = repeated()
    print(f"{REPEATED} digits, each shown {COPIES} times: {copies}")
    machine.write("many_examples", rows=rows, copies=copies)


def measured(source: str) -> dict[str, Any]:
    """Return the accuracy of the mean of 8 networks, by number of examples, on each task."""
    name, n_tasks, sizes, tested = ROWS[source]
    model, (images, labels, n_classes) = mole_jax.load(name), _data(source)
    accuracy: dict[str, list[float]] = {str(n): [] for n in sizes}
    for i in range(n_tasks):
        draw = np.random.default_rng(i)
        classes = draw.permutation(n_classes)[:CLASSES]
        rows = [draw.permutation(np.flatnonzero(labels == c)) for c in classes]
        others = np.concatenate([own[-tested:] for own in rows])
        for n in sizes:
            shown = np.concatenate([own[:n] for own in rows])
            y, truth = (np.repeat(np.arange(CLASSES), k) for k in (n, tested))
            accuracy[str(n)].append(_score(model, images[shown], y, images[others], truth))
    return {"model": name, "accuracy": accuracy}


def repeated() -> dict[str, list[float]]:
    """Return the accuracy on other digits after each one shown was given several times."""
    model, (images, labels, _) = mole_jax.load("glyphs-8"), _data("digits")
    found: dict[str, list[float]] = {str(n): [] for n in COPIES}
    for i in range(2):
        order = np.random.default_rng(i).permutation(len(labels))
        shown, others = order[:REPEATED], order[REPEATED:]
        for n in COPIES:
            rows = np.tile(shown, n)
            score = _score(model, images[rows], labels[rows], images[others], labels[others])
            found[str(n)].append(score)
    return found


def _data(source: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Return flat images from 0 to 255, labels, and the number of classes."""
    data = sources.load(source)
    scale = 255 / (data.white or 255)
    images = data.images.reshape(len(data.images), -1).astype(np.float32) * scale
    return images, data.labels, data.n_classes


def _score(
    model: Any, x: np.ndarray, y: np.ndarray, others: np.ndarray, truth: Sequence[int] | np.ndarray
) -> float:
    nets = model.predict(x, y, n=NETWORKS, key=rng.key(0))
    return round(float(np.mean(np.asarray(nets.mean(others)).argmax(-1) == truth)), 4)


def _cell(values: Sequence[float] | None) -> str:
    """Return the mean in %, and two standard errors."""
    if values is None:
        return ""
    error = 2 * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{100 * np.mean(values):.1f} +- {100 * error:.1f}"


if __name__ == "__main__":
    leave(explained(main))
