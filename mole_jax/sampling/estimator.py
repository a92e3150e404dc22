"""A classifier for scikit-learn, whose `fit` is one pass of a trained model over the examples.

mole_jax.OnePassClassifier("runs/glyphs").fit(x_train, y_train).score(x_test, y_test)
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import scipy.special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from mole_jax.core.errors import UserError
from mole_jax.core.storage.paths import user_path
from mole_jax.sampling.load import Model, load
from mole_jax.sampling.networks import Networks

INPUTS = ("images", "features")
# Examples that run through all networks at once. Always as many: then nothing is compiled again,
# and an example's probabilities do not depend on those with it.
PIECE = 256


class OnePassClassifier(ClassifierMixin, BaseEstimator):
    """Classify with networks that a trained model writes in one pass over the examples.

    Nothing is trained: `fit` predicts networks, whose probabilities `predict_proba` averages.

    Args:
        model: a workdir whose train stage is done, a file of `export-model`, or what
            `mole_jax.load` returned.
        n_networks: how many networks vote.
        inputs: what the columns of X are. "images": all pixels of an image, on the scale of the
            model's training. "features": any numbers, no more than a network has inputs; each is
            standardised over the examples given to `fit`, and the first inputs are given them. No
            model here was trained on such data, so expect less of it.
        objective: which of a workdir's learners writes, as `mole_jax.load` has it; None: the first.
        random_state: an integer, a NumPy RandomState or None; draws the networks' starts.

    Attributes:
        classes_: [k] labels, sorted.
        n_features_in_: columns of X.
        networks_: the `Networks`.
    """

    def __init__(
        self,
        model: Any,
        *,
        n_networks: int = 8,
        inputs: str = "images",
        objective: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.n_networks = n_networks
        self.inputs = inputs
        self.objective = objective
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> OnePassClassifier:
        """Predict networks from examples X [m, F] with labels y [m] of any type.

        Raises:
            ValueError: for examples that do not fit the model.
            UserError: for a model that cannot be loaded.
        """
        if self.inputs not in INPUTS:
            raise ValueError(f"inputs={self.inputs!r} is unknown; there are {INPUTS}")
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class only, {self.classes_[0]!r}: give two or more")
        model = self._loaded()
        self._pixels = model.inputs
        draws = check_random_state(self.random_state)
        key = jax.random.key(int(draws.randint(np.iinfo(np.int32).max)))
        if self.inputs == "features":
            size = model.inputs.size
            if X.shape[1] > size:
                raise ValueError(f"X has {X.shape[1]} features, and networks have {size} inputs")
            self._mean, spread = X.mean(axis=0), X.std(axis=0)
            self._spread = np.where(spread > 0, spread, 1.0)
            # What rows of few features are like says nothing about their scale.
            known = dataclasses.replace(model.inputs, mean=None, std=None)
            model = dataclasses.replace(model, inputs=known)
        with _as_value_errors():
            self.networks_: Networks = model.predict(
                self._rows(X), labels, n=self.n_networks, key=key
            )
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, [m, k]: the mean over networks.

        Raises:
            ValueError: for examples that do not fit.
        """
        check_is_fitted(self)
        rows = self._rows(validate_data(self, X, dtype=np.float64, reset=False))
        filled_up = np.resize(rows, (-(-len(rows) // PIECE) * PIECE, rows.shape[1]))
        pieces = []
        for i in range(0, len(filled_up), PIECE):
            with _as_value_errors():
                outputs = np.asarray(self.networks_.apply(filled_up[i : i + PIECE]), np.float64)
            # Networks of a model with one number of classes have outputs for all of them.
            outputs = outputs[:, :, : len(self.classes_)]
            pieces.append(scipy.special.softmax(outputs, axis=-1).mean(axis=0))
        return np.concatenate(pieces)[: len(rows)]

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each example, [m]."""
        shares = self.predict_proba(X)
        return np.asarray(self.classes_[shares.argmax(axis=1)])

    def _loaded(self) -> Model:
        if isinstance(self.model, Model):
            return self.model
        path = user_path(self.model)
        record = path if path.is_file() else path / "train" / "stage.json"
        changed = record.stat().st_mtime_ns if record.exists() else 0
        return _of_workdir(str(self.model), self.objective, changed)

    def _rows(self, X: np.ndarray) -> np.ndarray:
        """Return examples as the model's networks take them."""
        if self.inputs == "images":
            return X
        mean, spread = (
            np.broadcast_to(default if s is None else np.asarray(s), (self._pixels.size,))
            for s, default in ((self._pixels.mean, 0.0), (self._pixels.std, 1.0))
        )
        rows = np.broadcast_to(mean, (len(X), len(mean))).copy()
        k = X.shape[1]
        rows[:, :k] += (X - self._mean) / self._spread * spread[:k]
        return rows


@functools.lru_cache(maxsize=4)
def _of_workdir(workdir: str, objective: str | None, changed: int) -> Model:
    """Load a model once for all estimators: folds of a cross validation use the same."""
    return load(workdir, objective=objective)


@contextlib.contextmanager
def _as_value_errors() -> Iterator[None]:
    """Raise what the examples are to blame for as scikit-learn's estimators do."""
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from error
