"""Support sets: what fits, what is refused, and what is said of classes without examples."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.sampling import support
from mole_jax.sampling.inputs import Inputs
from mole_jax.tasks import control
from mole_jax.tasks.environments.cartpole import CARTPOLE
from mole_jax.tasks.environments.rollout import transitions

INPUTS = Inputs((2, 2, 1), (0.5,), (-1.0,))
LABELS = np.array([0, 1, 2, 0, 1])
IMAGES = np.arange(20.0).reshape(5, 2, 2)


def test_examples_are_standardised_and_padded() -> None:
    found = support.labelled(INPUTS, range(3, 4), IMAGES, LABELS)
    assert found.examples.inputs.shape == (16, 4) and found.examples.mask.sum() == 5
    place = [int(row[0]) // 4 for row in (found.examples.inputs[:5] + 1) * 2]  # of each image
    assert sorted(place) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.examples.inputs[:5], IMAGES.reshape(5, 4)[place] / 2 - 1)
    np.testing.assert_array_equal(found.examples.labels[:5], LABELS[place])
    assert found.remarks == () and found.complete
    for x, y in ((jnp.asarray(IMAGES), jnp.asarray(LABELS)), (IMAGES.tolist(), LABELS.tolist())):
        same = support.labelled(INPUTS, range(3, 4), x, y).examples
        np.testing.assert_array_equal(same.inputs, found.examples.inputs)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((6, 3)), np.zeros(6, int), r"expected \[m, 4\] or \[m, 2, 2\]"),
        (np.zeros((6, 1, 2, 2)), np.zeros(6, int), "expected .*channels come last"),
        (np.zeros((6, 4)), np.zeros(5, int), "do not fit"),
        (np.zeros((6, 4)), np.zeros((6, 3), int), r"one-hot labels give y\.argmax\(1\)"),
        (np.zeros((6, 4)), np.zeros((6, 1), int), "do not fit"),
        (np.zeros((6, 4)), None, "labels are missing"),
        (np.zeros((6, 4)), 0, "do not fit"),
        (np.zeros((0, 4)), np.zeros(0, int), "it is empty"),
        ([], [], "it is empty"),
        (np.zeros(4), 0, r"for a single one give x\[None\]"),
        (3.0, 0, "expected"),
        (None, LABELS, "must be real numbers, not object"),
        ([[0.0] * 4, [0.0] * 3], [0, 1], "cannot be read"),
        (np.zeros((3, 4)), np.array([0, 1, 3]), r"0\.\.2, and one is 3; np\.unique"),
        (
            np.zeros((4, 4)),
            np.array([0, 1, 2, -1]),
            r"one is -1; there are 4 classes, and the networks have 3 outputs$",
        ),
        (np.zeros((3, 4)), np.array([0.0, 1.0, 2.0]), r"integers in 0\.\.2, and one is 0\.0"),
        (np.zeros((3, 4)), np.array([True, False, True]), "one is True; .* numbers them from 0"),
        (np.zeros((3, 4)), ["a", "b", "c"], r"integers in 0\.\.2, and one is 'a'; np\.unique"),
        (np.zeros((3, 4)), np.array([0, None, "x" * 99], object), "one is None"),
        (np.full((3, 4), np.nan), np.array([0, 1, 2]), "NaN"),
        (np.full((3, 4), 1e39), np.array([0, 1, 2]), "too large"),
    ],
)
def test_examples_that_do_not_fit(images: Any, labels: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        support.labelled(INPUTS, range(3, 4), images, labels)
    assert str(refused.value).startswith("support set: ") and "\n" not in str(refused.value)


def test_the_order_of_examples_changes_nothing() -> None:
    """Of many examples of a class, steps look at some: at the same ones in any order."""
    order = np.random.default_rng(0).permutation(5)
    found = [support.labelled(INPUTS, range(3, 4), IMAGES[i], LABELS[i]).examples
             for i in (np.arange(5), order)]  # fmt: skip
    for a, b in zip(*(x[:3] for x in found), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [object, "datetime64[ns]", "complex64"])
def test_labels_in_arrays_of_other_types(dtype: Any) -> None:
    given_ = LABELS.astype(dtype)
    if dtype is object:  # such as a column of a table
        found = support.labelled(INPUTS, range(3, 4), IMAGES, given_).examples
        assert sorted(found.labels[:5]) == sorted(LABELS)
        given_ = np.array([0, 1, 2, [0], None], object)
    with pytest.raises(UserError, match=r"labels must be integers in 0\.\.2"):
        support.labelled(INPUTS, range(3, 4), IMAGES, given_)


def test_what_standardising_makes_infinite_is_refused() -> None:
    with pytest.raises(UserError, match="standardised, it is infinite"):
        support.labelled(Inputs((2,), (1e3,), (0.0,)), range(2, 3), np.full((2, 2), 1e37), [0, 1])


def test_classes_without_an_example_are_named() -> None:
    some = support.labelled(INPUTS, range(4, 5), IMAGES, LABELS)
    assert "no example of class 3 (of 0..3)" in some.remarks[0] and not some.complete
    one = support.labelled(INPUTS, range(4, 5), IMAGES, 0 * LABELS + 2)
    assert "class 2 only, of 0..3" in one.remarks[0] and not one.complete
    many = support.labelled(INPUTS, range(100, 101), IMAGES, LABELS)
    assert len(many.remarks[0]) < 200


def test_transitions() -> None:
    parameters = jnp.asarray(CARTPOLE.default)
    seen = np.asarray(transitions(CARTPOLE, parameters, jax.random.key(0), 5))
    found = support.transitions(CARTPOLE, 9, seen, None)
    wanted = control.features(CARTPOLE, seen)
    np.testing.assert_allclose(found.examples.inputs[:5], wanted, rtol=1e-5)
    assert found.examples.mask.sum() == 5 and found.complete and found.remarks == ()
    for x, y, message in (
        (seen[:, 1:], None, "expected m of 9 numbers"),
        (seen[0], None, "expected m of 9 numbers"),
        (seen.reshape(5, 3, 3), None, "expected m of 9 numbers"),
        (seen[:0], None, "expected m of 9 numbers"),
        (seen, np.zeros(5, int), "transitions have no labels"),
        (seen * np.nan, None, "NaN"),
        (np.where(np.arange(9) < 5, 0, 3e38) * np.ones_like(seen), None, "infinite in float32"),
    ):
        with pytest.raises(UserError, match=message):
            support.transitions(CARTPOLE, 9, x, y)


def test_of_huge_sets_a_part_is_looked_at_and_that_is_said() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.uniform(size=(200, 4)), np.repeat([0, 1, 2], [4, 96, 100])
    found = support.labelled(INPUTS, range(2, 5), x, y, trained_with=2)
    kept = found.examples.labels[found.examples.mask]
    assert np.bincount(kept).tolist() == [4, 10, 10]
    assert "of its 200 examples 24 are used, at most 10 of each class" in found.remarks[-1]
    order = draw.permutation(200)
    again = support.labelled(INPUTS, range(2, 5), x[order], y[order], trained_with=2)
    np.testing.assert_array_equal(again.examples.inputs, found.examples.inputs)
    assert not support.labelled(INPUTS, range(2, 5), x, y, trained_with=20).remarks
