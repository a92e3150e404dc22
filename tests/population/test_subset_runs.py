"""Runs have numbers of their own, which stay what they are."""

from __future__ import annotations

import numpy as np

from mole_jax.population import subset_runs


def test_numbers_of_runs_are_all_different_and_stay_when_members_are_added() -> None:
    subsets, base = np.arange(7), 3
    few = subset_runs.run_numbers(subsets, np.arange(base), 7, base)
    many = subset_runs.run_numbers(subsets, np.arange(11), 7, base)
    np.testing.assert_array_equal(few, np.arange(21).reshape(7, 3))
    np.testing.assert_array_equal(many[:, :base], few)
    numbers = [*many.reshape(-1).tolist(), subset_runs.shared_start(7, base)]
    assert len(set(numbers)) == len(numbers)
    np.testing.assert_array_equal(
        subset_runs.run_numbers(np.array([4]), np.array([8, 9]), 7, base), many[[4], 8:10]
    )
