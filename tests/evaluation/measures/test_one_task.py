"""A single task for the report: whose it is, and that its numbers are those of its networks."""

from __future__ import annotations

import numpy as np
import pytest

from mole_jax.evaluation.measures import one_task


@pytest.mark.parametrize(
    ("splits", "hardest"),
    [
        (("S0", "S1"), "S1"),
        (("S0", "S1", "S2", "S3-digits", "S3-clothes"), "S3-digits"),
        (("S0", "S1", "S2", "S4-12"), "S2"),
        (("S0",), "S0"),
    ],
)
def test_the_hardest_split_is_looked_at(splits: tuple[str, ...], hardest: str) -> None:
    assert one_task.hardest_of(splits) == hardest


def test_images_are_shown_class_by_class_in_turn() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2, 1, 1])
    mask = np.array([True] * 7 + [False])
    found = one_task._in_turn(labels, mask, 3)
    np.testing.assert_array_equal(found, [0, 3, 4, 1, 6, 5, 2])
    many = one_task._in_turn(np.arange(100) % 5, np.ones(100, bool), 5)
    assert len(many) == one_task.IMAGES and len(set(many)) == one_task.IMAGES


def test_confusions_are_shares_of_each_class() -> None:
    truth, answers = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, -1])
    found = one_task._confusion(truth, answers, 3)
    np.testing.assert_allclose(found, [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])


def test_examples_that_are_not_there_are_nan() -> None:
    inputs = np.arange(12.0).reshape(6, 2)
    labels, mask = np.array([0, 0, 0, 0, 1, 1]), np.array([True] * 5 + [False])
    found = one_task._support(inputs, labels, mask, 2)
    np.testing.assert_array_equal(found[0], inputs[:3])
    np.testing.assert_array_equal(found[1, 0], inputs[4])
    assert np.isnan(found[1, 1:]).all()
