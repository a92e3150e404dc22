"""Draws of the models' benchmark: what is shown is not asked for, and everybody has the same."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import shipped_models


@pytest.mark.parametrize("name", ["digits", "wines"])
def test_what_is_shown_is_not_asked_for(name: str) -> None:
    load, ways, _ = shipped_models.DATA[name]
    data, k = load(), ways[0]
    for task in shipped_models.draws(data, k, 3, 4):
        n_classes = k or len(np.unique(data.shown[1]))
        assert np.bincount(task.shown[1]).tolist() == [3] * n_classes
        assert len(np.unique(task.tested[1])) == n_classes
        shown, asked = ({row.tobytes() for row in x} for x in (task.shown[0], task.tested[0]))
        assert not shown & asked


def test_draws_are_the_same_every_time_and_those_for_choices_are_others() -> None:
    data = shipped_models.digits()
    first, again = (next(shipped_models.draws(data, 5, 2, 1)) for _ in range(2))
    np.testing.assert_array_equal(first.shown[0], again.shown[0])
    other = next(shipped_models.draws(data, 5, 2, 1, seed=1))
    assert not np.array_equal(first.shown[0], other.shown[0])


def test_a_row_says_how_far_from_the_best_rival() -> None:
    accuracy = {name: [0.5, 0.5] for name in shipped_models.RIVALS}
    accuracy |= {"m, one network": [0.5, 0.6], "m, mean of 8": [0.6, 0.8], "SVM": [0.6, 0.6]}
    cells = shipped_models.line({"accuracy": accuracy})
    assert cells["m, mean of 8"] == "70.0"
    assert cells["m, mean of 8 less the best"] == "+10.0 (0.0 to 20.0)"
