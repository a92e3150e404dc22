"""Sources are chosen by name; an unknown name is answered with those there are."""

from __future__ import annotations

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import sources


def test_digits() -> None:
    data = sources.load("digits")
    assert data.name == "digits"
    assert data.images.shape == (1797, 8, 8, 1)
    assert data.images.dtype == np.uint8
    assert data.images.max() == 16
    assert data.labels.dtype == np.int32
    assert np.unique(data.labels).tolist() == list(range(data.n_classes)) == list(range(10))
    assert not data.official_test.any()
    assert data.sources == ("digits",)
    assert data.class_source.tolist() == [0] * 10


@pytest.mark.parametrize(
    "source", ["", "MNIST", "digits:8", "idx", "idx:", "npz", "tfds", "tfds:", "mnist@here"]
)
def test_unknown_sources_are_refused(source: str) -> None:
    with pytest.raises(UserError, match="is unknown") as caught:
        sources.load(source)
    offered = str(caught.value).partition("; use ")[2].replace(";", ",").split(", ")
    for name in ("digits", "mnist", "svhn", "tfds:NAME", "tfds:NAME@DIR", "idx:DIR", "npz:FILE"):
        assert name in offered


def test_a_near_name_is_offered() -> None:
    with pytest.raises(UserError, match=r"is unknown \(did you mean 'cifar10'\?\)"):
        sources.load("cifar100")
    with pytest.raises(UserError, match=r"'xyzzy' is unknown; use"):
        sources.load("xyzzy")
