"""Every baseline answers as a learner does, and looks at what it says and at nothing else."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from mole_jax.evaluation.baselines import adam, adam_support, noise, retrieval, soup
from mole_jax.evaluation.baselines.roster import BASELINES
from mole_jax.learners import answers
from mole_jax.training.learner import Episodes, Solver
from tests.evaluation.conftest import Prepared

RATE = np.array(3e-3)
# name -> what makes the solver, and its theta
SOLVERS: dict[str, tuple[Any, Any]] = {
    "adam": (adam.Adam, adam.AdamRate(RATE[None], np.zeros(1), RATE)),
    "adam_support": (
        adam_support.AdamSupport,
        adam_support.SupportTraining(
            RATE[None], np.arange(12), np.zeros((1, 12)), RATE, np.array(5), np.array(5)
        ),
    ),
    "retrieval": (retrieval.build, None),
    "soup": (soup.build, None),
    "noise": (noise.build, noise.NoiseLevel(RATE[None], np.zeros(1), np.array(0.1))),
}


def test_every_baseline_is_among_them() -> None:
    assert {b.measure.name for b in BASELINES} | {"adam"} == set(SOLVERS)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_baseline_looks_at_what_it_says_and_at_nothing_else(
    name: str, prepared: Prepared
) -> None:
    build, theta = SOLVERS[name]
    solver: Solver = build(prepared.context)
    given = prepared.context.splits["S1"].flat()

    def asked(episodes: Episodes, target: float = 0.1, key: int = 0) -> np.ndarray:
        request = answers.all_of(np.full(len(given.task), target, np.float32))
        return np.asarray(solver.adapt(theta, episodes, request, jax.random.key(key)))

    first = asked(given)
    assert solver.name == name and solver.network is prepared.context.family.network
    assert solver.label.label and solver.label.sentence.endswith(".")
    assert first.shape == given.start.shape and np.isfinite(first).all()
    np.testing.assert_array_equal(first, asked(given))
    # The tasks' names stay: they are Adam's to use, and no others' support set.
    turned = given._replace(support=jax.tree.map(lambda x: x[::-1], given.support))
    other = {
        "support": asked(turned),
        "start": asked(given._replace(start=given.start[::-1])),
        "target_metric": asked(given, target=0.9),
        "pool": asked(given._replace(task=given.task[::-1])),
    }
    for use, found in other.items():
        changed = not np.array_equal(first, found)
        assert changed == getattr(solver.uses, use), use
