"""How long networks are polished: chosen on training subsets, at each number of shots by itself."""

from __future__ import annotations

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.evaluation.harness import evaluation_config
from mole_jax.evaluation.harness.context import CHOICE
from mole_jax.evaluation.harness.measure import Job, Results
from mole_jax.evaluation.measures import polishing
from mole_jax.learners.diffusion import Diffusion
from tests import tiny
from tests.evaluation.conftest import Prepared


def test_the_number_with_the_lowest_validation_loss_is_taken(prepared: Prepared) -> None:
    context, results = prepared.context, Results(prepared.context)
    assert context.learner == "diffusion" and polishing.tried(context) == [0, 1]
    found = polishing.choose(context, CHOICE, results)
    assert found.shots.tolist() == [1, 2, 4] and found.validation_loss.shape == (3, 2)
    assert np.ptp(found.validation_loss, axis=1).min() > 1e-4
    np.testing.assert_array_equal(found.chosen, found.validation_loss.argmin(axis=1))

    kept = found._replace(chosen=np.array([0, 1, 1]))
    results.found[Job(polishing.MEASURE, CHOICE, "diffusion")] = kept
    for shots, steps in ((1, 0), (2, 1), (None, 1)):
        own = polishing.of(context, results, shots).learners["diffusion"].trained.learner
        assert isinstance(own, Diffusion) and own.polish.steps == steps
    record = polishing.MEASURE.record(context, CHOICE, results)
    chosen = {"1": {"steps": 0}, "2": {"steps": 1}, "4": {"steps": 1}}
    assert record == {"setting_diffusion_polished": {"tried": 2, "chosen": chosen}}


def test_who_chooses_steps_anyway_or_writes_no_network_is_left_out(prepared: Prepared) -> None:
    context = prepared.context
    assert {"maml", "in_context"} < set(context.learners)
    assert polishing.polished(context) == ("diffusion", "regression")
    results = Results(context)
    own = context.measuring("maml")
    assert polishing.choose(own, CHOICE, results).validation_loss.shape == (3, 1)
    assert polishing.MEASURE.record(own, CHOICE, results) == {}


@pytest.mark.parametrize(("steps", "said"), [((0,), "whole numbers"), ((10**9,), "or fewer")])
def test_what_cannot_be_tried_is_refused_at_the_start(steps: tuple[int, ...], said: str) -> None:
    config = tiny.tiny_config(evaluation__polish_steps=steps)
    with pytest.raises(UserError, match=f"evaluation.polish_steps=.*{said}"):
        evaluation_config.check(config)
