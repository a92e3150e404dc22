"""Classical learners on the support set alone: they answer with classes and not with networks.

Logistic regression and the SVM are scikit-learn's. Settings are chosen on training subsets, as
Adam's rate is, and so is the temperature that turns scores into probabilities.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from mole_jax.training.learner import Label

Array = NDArray[Any]
# (support inputs [n, F], labels [n], number of classes K, query inputs [m, F], setting) -> [m, K]
Scores = Callable[[Array, Array, int, Array, float], Array]

TEMPERATURES = tuple(float(x) for x in np.round(np.logspace(-2, 2, 17), 4))


@dataclasses.dataclass(frozen=True)
class Classical:
    """A classifier of examples: what it is called, its settings, and its scores."""

    name: str
    label: Label
    settings: tuple[float, ...]  # candidates
    scores: Scores


def nearest_neighbour(x: Array, y: Array, k: int, query: Array, _: float) -> Array:
    """Score classes by minus the distance to their nearest example."""
    apart = _distances(query, x)  # [m, n]
    return np.stack([-apart[:, y == c].min(axis=1) for c in range(k)], axis=1)


def nearest_centroid(x: Array, y: Array, k: int, query: Array, _: float) -> Array:
    """Score classes by minus the distance to the mean of their examples."""
    return -_distances(query, np.stack([x[y == c].mean(axis=0) for c in range(k)]))


def logistic_regression(x: Array, y: Array, k: int, query: Array, setting: float) -> Array:
    """Fit multinomial logistic regression with C = `setting`."""
    model = LogisticRegression(C=setting, max_iter=300).fit(x, y)
    return _columns(model.decision_function(query), model.classes_, k)


def svm(x: Array, y: Array, k: int, query: Array, setting: float) -> Array:
    """Fit a support vector machine with an RBF kernel and C = `setting`."""
    model = SVC(C=setting).fit(x, y)
    return _columns(model.decision_function(query), model.classes_, k)


CLASSICAL = (
    Classical(
        "nearest_neighbour",
        Label("1-NN", "The class of the nearest support example, pixel by pixel."),
        (1.0,),
        nearest_neighbour,
    ),
    Classical(
        "nearest_centroid",
        Label("Nearest centroid", "The class whose mean support example is nearest."),
        (1.0,),
        nearest_centroid,
    ),
    Classical(
        "logistic_regression",
        Label("Logistic regression", "Multinomial logistic regression on the support set."),
        (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0),
        logistic_regression,
    ),
    Classical(
        "svm",
        Label("SVM", "A support vector machine with an RBF kernel on the support set."),
        (0.3, 1.0, 3.0, 10.0, 100.0),
        svm,
    ),
)


def log_probabilities(scores: Array, temperature: float) -> Array:
    """Return log-probabilities of classes [m, K] from scores [m, K]."""
    return np.asarray(log_softmax(scores / temperature, axis=1))


def choose(
    of: Classical,
    supports: Sequence[tuple[Array, Array]],
    queries: Sequence[tuple[Array, Array]],
    n_classes: Sequence[int],
) -> tuple[float, float]:
    """Choose a setting by mean accuracy over tasks, then a temperature by mean likelihood.

    Args:
        of: the classifier.
        supports: inputs [n, F] and labels [n] of each task's support set.
        queries: inputs [m, F] and labels [m] of each task's validation pool.
        n_classes: K of each task.

    Returns:
        The setting and the temperature.
    """
    tried = []
    for setting in of.settings:
        scores = [
            of.scores(*support, k, query[0], setting)
            for support, k, query in zip(supports, n_classes, queries, strict=True)
        ]
        pairs = list(zip(scores, queries, strict=True))
        accuracy = np.mean([np.mean(s.argmax(1) == labels) for s, (_, labels) in pairs])
        tried.append((float(accuracy), setting, pairs))
    _, setting, pairs = max(tried, key=lambda found: found[0])

    def likelihood(temperature: float) -> float:
        each = [
            np.mean(log_probabilities(s, temperature)[np.arange(len(labels)), labels])
            for s, (_, labels) in pairs
        ]
        return float(np.mean(each))

    return setting, max(TEMPERATURES, key=likelihood)


def _distances(a: Array, b: Array) -> Array:
    """Return Euclidean distances [m, n] of rows [m, F] and [n, F]."""
    square = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)[None]
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def _columns(scores: Array, classes: Array, k: int) -> Array:
    """Return scores [m, K], also for two classes, which scikit-learn scores in one column."""
    if scores.ndim == 1:
        scores = np.stack([-scores, scores], axis=1)
    if len(classes) != k:  # a class without examples cannot be learned
        raise ValueError(f"{len(classes)} of {k} classes have examples in the support set")
    return scores
