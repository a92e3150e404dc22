"""A trained model as an estimator of scikit-learn."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator

import mole_jax
from mole_jax import OnePassClassifier
from mole_jax.sampling import model_file
from mole_jax.sampling.estimator import pixels
from tests import tiny, untrained

CONFIG = tiny.tiny_config(
    **tiny.SEVERAL_CLASSES,
    metamodel__probes=0,
    metamodel__support_probes=4,
    metamodel__inner_steps=2,
    training__end_to_end_steps=5,
)
NAMES = np.array(["three", "five", "eight"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model for 2 to 4 classes that writes in one pass."""
    folder = tmp_path_factory.mktemp("model")
    untrained.write(folder, CONFIG, (8, 8, 1), 4, ["end_to_end"])
    return folder


class Untrained(OnePassClassifier):
    """Whose networks do not reach the accuracy that checks ask for: its model was not trained."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


def estimator(model: Path, **options: Any) -> OnePassClassifier:
    options = {"n_networks": 2, "objective": "end_to_end", "random_state": 1} | options
    return OnePassClassifier(model, **options)


@pytest.fixture
def digits(support: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return support[0], NAMES[support[1]]


def test_it_is_the_mean_of_the_networks(model: Path, digits: Any) -> None:
    x, y = digits
    fitted = estimator(model).fit(x, y)
    assert list(fitted.classes_) == sorted(NAMES) and fitted.n_features_in_ == 64
    shares = fitted.predict_proba(x)
    outputs = np.asarray(fitted.networks_.apply(x), np.float64)
    expected = np.exp(outputs) / np.exp(outputs).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(shares, expected.mean(axis=0), rtol=1e-5)
    assert (fitted.predict(x) == fitted.classes_[shares.argmax(axis=1)]).all()
    again, other = (estimator(model, random_state=i).fit(x, y).predict_proba(x) for i in (1, 2))
    np.testing.assert_array_equal(again, shares)
    assert not np.array_equal(other, shares)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(x), shares)


def test_probabilities_do_not_depend_on_the_company(model: Path, digits: Any) -> None:
    x, y = digits
    fitted = estimator(model).fit(x, y)
    many = fitted.predict_proba(np.tile(x, (20, 1)))  # more than go through at once
    np.testing.assert_array_equal(many[:21], fitted.predict_proba(x))
    np.testing.assert_array_equal(many[5:6], fitted.predict_proba(x[5:6]))


def test_it_is_cloned_piped_and_cross_validated(model: Path, digits: Any) -> None:
    x, y = digits
    first = estimator(model)
    assert clone(first).get_params() == first.get_params()
    scores = cross_val_score(make_pipeline(FunctionTransformer(), first), x, y, cv=3)
    assert scores.shape == (3,) and np.isfinite(scores).all()


def test_a_model_that_is_loaded_will_do(model: Path, digits: Any) -> None:
    x, y = digits
    loaded = estimator(mole_jax.load(model, objective="end_to_end"))
    expected = estimator(model).fit(x, y).predict_proba(x)
    np.testing.assert_array_equal(clone(loaded).fit(x, y).predict_proba(x), expected)


def test_a_model_file_will_do(model: Path, digits: Any, tmp_path: Path) -> None:
    x, y = digits
    file = tmp_path / "model.safetensors"
    model_file.save(file, mole_jax.load(model, objective="end_to_end"))
    found = OnePassClassifier(file, n_networks=2, random_state=1).fit(x, y)
    expected = estimator(model).fit(x, y).predict_proba(x)
    np.testing.assert_array_equal(found.predict_proba(x), expected)


def test_a_feature_that_is_constant_but_for_rounding_counts_nothing(model: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), np.arange(30) % 2
    x[:, 1] = 0.1
    fitted = estimator(model, inputs="features").fit(x, y)
    other = x.copy()
    other[:, 1] = 0.2
    np.testing.assert_allclose(fitted.predict_proba(other), fitted.predict_proba(x), atol=0.2)


def test_a_refused_fit_leaves_nothing_fitted(model: Path, digits: Any) -> None:
    x, y = digits
    refused = estimator(model)
    with pytest.raises(ValueError, match="63 columns"):
        refused.fit(x[:, :63], y)
    with pytest.raises(NotFittedError):
        refused.predict(x)
    table = estimator(model, inputs="features").fit(x[:, :5], y)
    before = table.predict_proba(x[:, :5])
    with pytest.raises(ValueError, match="there are 5 classes"):
        table.fit(100 * x[:, :5], np.arange(len(y)) % 5)
    np.testing.assert_array_equal(table.predict_proba(x[:, :5]), before)


def test_what_does_not_fit_is_refused(model: Path, digits: Any) -> None:
    x, y = digits
    for options, given, labels, message in (
        ({}, x[:, :63], y, "X has 63 columns, and networks take images of 64 pixels"),
        ({"resize": True}, x[:, :63], y, "63 numbers do not make a square image"),
        ({}, x, np.repeat("one", len(y)), "one class only"),
        ({}, x, np.arange(len(y)) % 5, "there are 5 classes"),
        ({"inputs": "features", "resize": True}, x, y, "leave one of them out"),
        ({"inputs": "pictures"}, x, y, "'pictures' is unknown"),
        ({"inputs": "features"}, np.ones((21, 65)), y, "65 features, and networks have 64 inputs"),
    ):
        with pytest.raises(ValueError, match=message):
            estimator(model, **options).fit(given, labels)
    with pytest.raises(ValueError, match="objective='diffusion'"):
        estimator(mole_jax.load(model, objective="end_to_end"), objective="diffusion").fit(x, y)
    with pytest.raises(ValueError, match="takes no target"):
        estimator(model, target_loss=0.1).fit(x, y)


@pytest.mark.filterwarnings("ignore")
def test_checks_of_scikit_learn(model: Path) -> None:
    one = Untrained(model, n_networks=1, inputs="features", objective="end_to_end", random_state=0)
    done = 0
    for of, check in estimator_checks_generator(one):
        with contextlib.suppress(SkipTest):  # of packages that are not installed
            check(of)
            done += 1
    assert done > 45


@pytest.mark.parametrize("shape", [(8, 8, 1), (4, 6, 3), (24,)])
def test_each_feature_has_a_pixel_of_its_own(shape: tuple[int, ...]) -> None:
    n = int(np.prod(shape[:2])) if len(shape) == 3 else shape[0]
    channels = shape[2] if len(shape) == 3 else 1
    for k in range(1, n + 1):
        at = pixels(shape, k)
        assert at.shape == (k, channels) and at.min() >= 0 and at.max() < n * channels
        assert len(np.unique(at)) == k * channels
    assert pixels((8, 8, 1), 4).ravel().tolist() == [18, 22, 50, 54]  # of each quarter the middle
