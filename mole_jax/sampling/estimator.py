"""A classifier for scikit-learn: `fit` is one pass of a trained model over the examples.

mole_jax.OnePassClassifier("glyphs-8").fit(x_train, y_train).score(x_test, y_test)
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from mole_jax.core import rng
from mole_jax.core.errors import MoleWarning, UserError
from mole_jax.sampling import shipped
from mole_jax.sampling.inputs import Inputs
from mole_jax.sampling.load import Model, load

INPUTS = ("images", "features")
# Examples per call, always the same number: nothing is recompiled, and an example's probabilities
# do not depend on the others.
PIECE = 256


class OnePassClassifier(ClassifierMixin, BaseEstimator):
    """Classify with networks that a trained model writes in one pass over the examples.

    Nothing is trained: `fit` predicts networks, whose probabilities `predict_proba` averages.

    Args:
        model: the name of a model that comes with MOLE, a workdir whose train stage is done, a
            file of `export-model`, or what `mole_jax.load` returned.
        n_networks: how many networks vote.
        inputs: what the columns of X are. "images": all pixels of an image, on the scale of the
            model's training. "features": any numbers, at most one for each pixel of an image; each
            is standardised over the examples given to `fit`, and becomes a pixel. No model here was
            trained on such data, so expect less of it.
        resize: whether to resize square images to the model's size; else they are refused.
        objective: which of a workdir's learners writes, as in `mole_jax.load`; None: the first.
        target_loss: the loss to ask for, as in `Model.predict`; None: as good as the model can.
        polish: gradient steps more on the examples, as in `Model.predict`: with ten or more of each
            new class 400 gain about a point; with one or two they lose.
        random_state: an integer, a NumPy RandomState or None; draws the networks' starts.

    Attributes:
        classes_: [k] labels, sorted.
        n_features_in_: columns of X.
        networks_: the `Networks`.
    """

    def __init__(
        self,
        model: Any = shipped.NAMES[0],
        *,
        n_networks: int = 8,
        inputs: str = "images",
        resize: bool = False,
        objective: str | None = None,
        target_loss: float | None = None,
        polish: int = 0,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.n_networks = n_networks
        self.inputs = inputs
        self.resize = resize
        self.objective = objective
        self.target_loss = target_loss
        self.polish = polish
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
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has one class only, {classes[0]!r}: give two or more")
        model = self._loaded()
        prepared: _Table | _Squares | None = None
        draws = check_random_state(self.random_state)
        key = rng.key(int(draws.randint(np.iinfo(np.int32).max)))
        if self.inputs == "features":
            if self.resize:
                raise ValueError("resize=True is for inputs='images': leave one of them out")
            size = math.prod(model.inputs.shape[:2])
            if X.shape[1] > size:
                raise ValueError(f"X has {X.shape[1]} features, and networks have {size} inputs")
            prepared = _Table(StandardScaler().fit(X), model.inputs)
            # The check of the scale is for images: leave it out.
            known = dataclasses.replace(model.inputs, mean=None, std=None)
            model = dataclasses.replace(model, inputs=known)
        elif X.shape[1] != model.inputs.size:
            if not self.resize:
                raise ValueError(
                    f"X has {X.shape[1]} columns, and networks take images of {model.inputs.size} "
                    "pixels: resize=True makes square images fit"
                )
            prepared = _Squares(model.inputs)
        with _as_value_errors():
            networks = model.predict(
                X if prepared is None else prepared.rows(X),
                labels,
                n=self.n_networks,
                target_loss=self.target_loss,
                polish=self.polish,
                key=key,
            )
        # Assigned together: a refused fit leaves an earlier one unchanged.
        self.classes_, self.networks_, self._prepared = classes, networks, prepared
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, [m, k]: the mean over networks.

        Raises:
            ValueError: for examples that do not fit.
        """
        check_is_fitted(self, "classes_")
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        rows = rows if self._prepared is None else self._prepared.rows(rows)
        if said := self.networks_.inputs.strangeness("X", np.asarray(rows, np.float32)):
            warnings.warn(said, MoleWarning, stacklevel=2)  # once, and not for each piece
        filled_up = np.resize(rows, (-(-len(rows) // PIECE) * PIECE, rows.shape[1]))
        pieces = []
        for i in range(0, len(filled_up), PIECE):
            with _as_value_errors(), warnings.catch_warnings():
                warnings.simplefilter("ignore", MoleWarning)
                outputs = np.asarray(self.networks_.apply(filled_up[i : i + PIECE]), np.float64)
            # Models with a fixed number of classes write outputs for all of them.
            outputs = outputs[:, :, : len(self.classes_)]
            pieces.append(scipy.special.softmax(outputs, axis=-1).mean(axis=0))
        return np.concatenate(pieces)[: len(rows)]

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each example, [m]."""
        shares = self.predict_proba(X)
        return np.asarray(self.classes_[shares.argmax(axis=1)])

    def _loaded(self) -> Model:
        if isinstance(self.model, Model):
            if self.objective not in (None, self.model.objective):
                raise ValueError(
                    f"objective={self.objective!r}, and the model is {self.model.objective!r}"
                )
            return self.model
        path = shipped.place(self.model)
        of_stages = [path / stage / "stage.json" for stage in ("train", "evaluate")]
        read = [path] if path.is_file() else of_stages
        changed = tuple(file.stat().st_mtime_ns for file in read if file.exists())
        return _of_workdir(path, self.objective, changed)


@dataclasses.dataclass(frozen=True)
class _Table:
    """How features become an image: a pixel each, as far apart as possible.

    A convolution mixes neighbouring pixels, but features have no neighbours. Chosen on iris and on
    synthetic tables, where blocks of pixels were worse.
    """

    scaler: Any
    inputs: Inputs

    def rows(self, X: np.ndarray) -> np.ndarray:
        """Return examples [m, k] as networks take them, [m, F]; other pixels have their mean."""
        mean, spread = (
            np.broadcast_to(default if s is None else np.asarray(s), (self.inputs.size,))
            for s, default in ((self.inputs.mean, 0.0), (self.inputs.std, 1.0))
        )
        rows = np.broadcast_to(mean, (len(X), len(mean))).copy()
        at = pixels(self.inputs.shape, X.shape[1])
        rows[:, at] += self.scaler.transform(X)[:, :, None] * spread[at]
        return rows


def pixels(shape: tuple[int, ...], k: int) -> np.ndarray:
    """Return where k features go, [k, channels]: positions in a flat image, in rows and columns.

    Args:
        shape: of an image, [H, W, channels]; anything else is one row.
        k: at most H * W.
    """
    height, width, channels = shape if len(shape) == 3 else (1, math.prod(shape), 1)
    across = min(math.ceil(k / min(math.isqrt(k), height)), width)
    row, column = np.divmod(np.arange(k), across)
    down = math.ceil(k / across)
    y, x = (2 * row + 1) * height // (2 * down), (2 * column + 1) * width // (2 * across)
    return np.asarray((y * width + x)[:, None] * channels + np.arange(channels))


@dataclasses.dataclass(frozen=True)
class _Squares:
    """How square images are resized to the model's size."""

    inputs: Inputs

    def rows(self, X: np.ndarray) -> np.ndarray:
        """Return images [m, k] as networks take them, [m, F]."""
        with _as_value_errors():
            return self.inputs.resized("X", X).reshape(len(X), -1)


@functools.lru_cache(maxsize=4)
def _of_workdir(workdir: Path, objective: str | None, changed: tuple[int, ...]) -> Model:
    """Load a model once for all estimators: folds of a cross validation use the same."""
    return load(workdir, objective=objective)


@contextlib.contextmanager
def _as_value_errors() -> Iterator[None]:
    """Raise UserError as ValueError, as scikit-learn's estimators do for bad examples."""
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from error
