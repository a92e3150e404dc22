"""Conditions: what a model loses when one is another task's."""

from __future__ import annotations

import dataclasses

import numpy as np

from mole_jax.evaluation.harness.measure import Job, Results
from mole_jax.evaluation.measures import conditions
from mole_jax.evaluation.measures.conditions import CONDITIONS, Swapped
from tests.evaluation.conftest import Prepared


def test_of_one_task_nothing_is_said_since_there_is_no_other(prepared: Prepared) -> None:
    context = prepared.context
    found = Swapped(np.zeros((2, 1)), np.ones((2, 1)), np.ones((3, 2, 1)), np.zeros((3, 2, 1)))
    record = conditions.MEASURE.record(context, "S1", _results(context, found))
    assert record["condition_use_gap"] == dict.fromkeys(CONDITIONS, 1.0)
    one = {**context.splits, "S1": context.splits["S1"].first(np.array([0]))}
    alone = dataclasses.replace(context, splits=one)
    assert conditions.MEASURE.record(alone, "S1", _results(alone, found)) == {}


def _results(context: object, found: Swapped) -> Results:
    return Results(context, {Job(conditions.MEASURE, "S1", ""): found})  # type: ignore[arg-type]
