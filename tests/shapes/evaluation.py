"""Wrong shapes that functions of evaluation refuse."""

from __future__ import annotations

import functools

import numpy as np

from mole_jax.evaluation.harness import scoring
from mole_jax.tasks.examples import Examples
from tests.shapes.things import MLP, Case, D, N


def of_measured_examples() -> Case:
    draw = np.random.default_rng(0).normal

    def given(*lead: int) -> Examples:
        inputs = draw(size=(*lead, N, 7)).astype("f4")
        return Examples(inputs, np.zeros((*lead, N), np.int32), np.ones((*lead, N), bool))

    return Case(
        functools.partial(scoring.on_examples, MLP),
        {"flat": draw(size=(2, 3, D)).astype("f4"), "examples": given(2, 3)},
        (("examples", given(3, 2), "one row of each argument for each network"),),
        traced=False,
    )
