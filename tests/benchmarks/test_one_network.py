"""The plainest rival: a task's outputs are those that its support set names."""

from __future__ import annotations

import numpy as np

from benchmarks import one_network


def test_outputs_are_kept_by_what_the_support_set_is_taken_for() -> None:
    labels = np.repeat(np.arange(4), 12)
    right = np.eye(4)[labels]
    pools = {name: (np.zeros((48, 1)), labels) for name in ("support", "test")}
    rng = np.random.default_rng(0)
    classes = np.array([1, 3])
    assert one_network._score({"support": right, "test": right}, pools, classes, rng) == 1
    # Class 3 is taken for 2: its output is not kept, and all of it is lost.
    wrong = np.eye(4)[np.where(labels == 3, 2, labels)]
    test = right + 0.1 * np.eye(4)[np.full(48, 1)]  # where nothing else speaks, class 1
    assert one_network._score({"support": wrong, "test": test}, pools, classes, rng) == 0.5
