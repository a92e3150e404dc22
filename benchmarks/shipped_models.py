"""What the models that come with MOLE reach on data sets that they were not trained on.

    python -m benchmarks.shipped_models                     (all of them)
    python -m benchmarks.shipped_models --only=digits

Images: scikit-learn's digits; Fashion-MNIST (Debian: dataset-fashion-mnist). Tables, whose columns
become pixels: scikit-learn's wines and tumours. Of each a few labelled examples are drawn,
many times; everybody learns from the same ones and is measured on the same others.

Rivals are scikit-learn's, on pixels as they are and on standardised columns. C is chosen on other
draws of the same data set, by accuracy on their test examples: more than a user with a few
examples could do. MOLE has nothing to choose; from five examples a class its networks are also
polished, as tasks of training characters said (mole_jax/learners/polish.py).

Writes benchmarks/results/shipped_models.json, and prints the tables of docs/models.md and of the
models' cards.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks import machine
from mole_jax import OnePassClassifier
from mole_jax.core.program import compiled
from mole_jax.core.program.command import explained, leave
from mole_jax.evaluation.harness.statistics import bootstrap_mean_ci
from mole_jax.sampling import shipped
from mole_jax.tasks import sources

CLOTHES = Path("/usr/share/datasets/fashion-mnist")
SHOTS = (1, 2, 5, 10)
NETWORKS = 8
POLISHED_FROM, POLISH = 5, 400  # examples of a class; steps
CHOSEN_ON = 5  # draws for the rivals' settings, none of which is measured
MOST_TESTED = 1000
Arrays = tuple[np.ndarray, np.ndarray]
RIVALS: dict[str, tuple[Callable[[float], Any], tuple[float, ...]]] = {
    "1-NN": (lambda _: KNeighborsClassifier(1), (1.0,)),
    "logistic regression": (
        lambda c: LogisticRegression(C=c, max_iter=1000),
        (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0),
    ),
    "SVM": (lambda c: SVC(C=c), (0.3, 1.0, 3.0, 10.0, 100.0)),
}


@dataclasses.dataclass(frozen=True)
class Examples:
    """A data set: examples that may be shown, and examples that may be asked for."""

    shown: Arrays
    tested: Arrays | None  # None: those that are not shown
    images: bool = True


def digits() -> Examples:
    """Return scikit-learn's digits, 8x8, 0 to 255."""
    x, y = datasets.load_digits(return_X_y=True)
    return Examples((x * 255 / 16, y), None)


def clothes() -> Examples:
    """Return Fashion-MNIST, 28x28, 0 to 255."""
    data = sources.load(f"idx:{CLOTHES}")
    x, of_test = data.images.reshape(len(data.images), -1), data.official_test
    return Examples((x[~of_test], data.labels[~of_test]), (x[of_test], data.labels[of_test]))


def table(load: Callable[..., Any]) -> Examples:
    """Return a table of scikit-learn's."""
    return Examples(load(return_X_y=True), None, images=False)


# Name -> data, how many classes are drawn (all of them: None), and the models that are asked.
DATA: dict[str, tuple[Callable[[], Examples], tuple[int | None, ...], tuple[str, ...]]] = {
    "digits": (digits, (5, None), ("glyphs-8",)),
    "clothes": (clothes, (5, None), ("glyphs-28", "glyphs-8")),
    "wines": (functools.partial(table, datasets.load_wine), (None,), ("glyphs-8",)),
    "tumours": (functools.partial(table, datasets.load_breast_cancer), (None,), ("glyphs-8",)),
}


@dataclasses.dataclass(frozen=True)
class Draw:
    """A task: labelled examples, and others; labels are 0..k-1."""

    shown: Arrays
    tested: Arrays


def draws(data: Examples, ways: int | None, shots: int, n: int, seed: int = 0) -> Iterator[Draw]:
    """Draw n tasks with so many examples of each class."""
    labels = data.shown[1]
    classes = np.unique(labels)
    for i in range(n):
        generator = np.random.default_rng([seed, i])
        own = classes if ways is None else np.sort(generator.permutation(classes)[:ways])
        order = generator.permutation(len(labels))
        rows = np.concatenate([order[labels[order] == c][:shots] for c in own])
        if data.tested is None:
            others = np.setdiff1d(np.flatnonzero(np.isin(labels, own)), rows)
            pool = data.shown
        else:
            others, pool = np.flatnonzero(np.isin(data.tested[1], own)), data.tested
        others = generator.permutation(others)[:MOST_TESTED]
        yield Draw(
            (data.shown[0][rows].astype(np.float32), np.searchsorted(own, labels[rows])),
            (pool[0][others].astype(np.float32), np.searchsorted(own, pool[1][others])),
        )


def of_model(
    name: str, n: int, task: Draw, *, images: bool, polish: int = 0
) -> tuple[float, float]:
    """Return the accuracy of the mean of n networks, and the seconds of predicting them."""
    inputs = "images" if images else "features"
    classifier = OnePassClassifier(
        name, n_networks=n, inputs=inputs, resize=images, polish=polish, random_state=0
    )
    began = time.perf_counter()
    classifier.fit(*task.shown)
    jax.block_until_ready(classifier.networks_.params)
    seconds = time.perf_counter() - began
    return float(classifier.score(*task.tested)), seconds


def of_rival(name: str, setting: float, task: Draw, *, images: bool) -> float:
    """Return a classical learner's accuracy."""
    (x, y), (others, labels) = task.shown, task.tested
    if images:
        x, others = (np.asarray(rows, np.float64) / 255 for rows in (x, others))
    else:
        scaler = StandardScaler().fit(x)
        x, others = scaler.transform(x), scaler.transform(others)
    return float(RIVALS[name][0](setting).fit(x, y).score(others, labels))


def measured(data: Examples, ways: int | None, shots: int, models: Sequence[str], n: int) -> Any:
    """Return accuracies by learner, a number for each of n draws."""
    first = list(draws(data, ways, shots, CHOSEN_ON, seed=1))
    others = list(draws(data, ways, shots, n))
    row: dict[str, Any] = {"accuracy": {}, "setting": {}, "seconds": {}}
    for name in models:
        asked = [(1, "one network", 0), (NETWORKS, f"mean of {NETWORKS}", 0)]
        if shots >= POLISHED_FROM:
            asked.append((NETWORKS, f"mean of {NETWORKS}, polished", POLISH))
        for networks, label, steps in asked:
            own = functools.partial(of_model, name, networks, images=data.images, polish=steps)
            found = [own(task) for task in others]
            accuracy, seconds = zip(*found, strict=True)
            row["accuracy"][f"{name}, {label}"] = np.round(accuracy, 4).tolist()
            row["seconds"][f"{name}, {label}"] = min(seconds)
    for name, (_, settings) in RIVALS.items():
        score = functools.partial(of_rival, name, images=data.images)
        best = max(settings, key=lambda c: np.mean([score(c, task) for task in first]))
        row["setting"][name] = best
        row["accuracy"][name] = np.round([score(best, task) for task in others], 4).tolist()
    return row


def line(row: dict[str, Any]) -> dict[str, str]:
    """Return a row of the table: means in %, and MOLE less its best rival (95 %, paired)."""
    means = {name: float(np.mean(values)) for name, values in row["accuracy"].items()}
    best = max(RIVALS, key=lambda name: means[name])
    ours = next(name for name in means if name.endswith(f"mean of {NETWORKS}"))
    less = np.subtract(row["accuracy"][ours], row["accuracy"][best])
    low, high = bootstrap_mean_ci(less)
    cells = {name: f"{100 * mean:.1f}" for name, mean in means.items()}
    return cells | {
        f"{ours} less the best": f"{100 * less.mean():+.1f} ({100 * low:.1f} to {100 * high:.1f})"
    }


def figures(model: str, rows: Mapping[str, Any]) -> str:
    """Return the table of a model's card: its mean of 8, and the best rival, in %."""
    ours, lines = f"{model}, mean of {NETWORKS}", []
    for name, of_shots in rows.items():
        if any(ours in row["accuracy"] for row in of_shots.values()):
            cells = []
            for row in of_shots.values():
                means = {key: 100 * float(np.mean(x)) for key, x in row["accuracy"].items()}
                best = max(RIVALS, key=lambda key: means[key])
                cells.append(f"{means[ours]:.1f} / {means[best]:.1f} ({best})")
            lines.append([name, *cells])
    return machine.table(["examples a class", *map(str, SHOTS)], lines)


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=list(DATA), help="one of the data sets")
    parser.add_argument("--draws", type=int, default=50, help="of each row (50)")
    flags = parser.parse_args()
    rows = machine.known("shipped_models", "rows")
    with compiled.kept():
        for name in [flags.only] if flags.only else DATA:
            load, ways, models = DATA[name]
            data = load()
            for k in ways:
                of = f"{name}, {k or len(np.unique(data.shown[1]))} classes"
                found = {n: measured(data, k, n, models, flags.draws) for n in SHOTS}
                rows[of] = found
                cells = [line(row) for row in found.values()]
                heads = list(cells[-1])  # networks of few examples are not polished
                lines = [
                    [n, *(each.get(head, "") for head in heads)]
                    for n, each in zip(found, cells, strict=True)
                ]
                print(f"\n{of}\n{machine.table(['examples a class', *heads], lines)}", flush=True)
    machine.write("shipped_models", rows=rows)
    for model in shipped.NAMES:
        print(f"\n{model}: mean of {NETWORKS} / best rival\n{figures(model, rows)}")


if __name__ == "__main__":
    leave(explained(main))
