"""Settings of learners: chosen on training subsets, at each number of shots by itself."""

from __future__ import annotations

import numpy as np

from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import CHOICE
from mole_jax.evaluation.harness.episodes import fewer
from mole_jax.evaluation.harness.measure import Job, Results
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import adaptation
from tests.evaluation.conftest import Prepared


def test_the_setting_with_the_lowest_validation_loss_is_taken(prepared: Prepared) -> None:
    context, results = prepared.context.measuring("maml"), Results(prepared.context)
    choices = context.learners["maml"].trained.learner.choices()
    assert [own.setting["steps"] for own in choices] == [1, 2]
    found = adaptation.choose(context, CHOICE, results)
    assert found.shots.tolist() == [1, 2, 4]
    shown = fewer(context.choice, 2, context.family.n_classes)
    for own, expected in zip(choices, found.validation_loss[1], strict=True):
        flat = predict(context.asked_as(own), "maml", shown, None, context.key("another"))
        loss, _ = scoring.on_own_tasks(context.family, "validation", flat, shown.tasks)
        np.testing.assert_allclose(loss.mean(), expected, rtol=1e-5)
    np.testing.assert_array_equal(found.chosen, found.validation_loss.argmin(axis=1))

    reversed_ = found._replace(chosen=np.array([1, 0, 1]))
    results.found[Job(adaptation.MEASURE, CHOICE, "maml")] = reversed_
    for shots, n in ((1, 2), (2, 1), (None, 2)):
        asked = adaptation.of(context, results, shots).learners["maml"].trained.learner
        assert asked.setting["steps"] == n
    record = adaptation.MEASURE.record(context, CHOICE, results)
    chosen = {str(shots): {"steps": n, "rate": 1.0} for shots, n in ((1, 2), (2, 1), (4, 2))}
    assert record == {"setting_maml": {"tried": 2, "chosen": chosen}}


def test_a_learner_without_settings_stays_as_it_is(prepared: Prepared) -> None:
    context, results = prepared.context, Results(prepared.context)
    found = adaptation.choose(context, CHOICE, results)
    assert found.validation_loss.shape == (3, 1) and not found.chosen.any()
    assert adaptation.of(context, results) is context
    assert adaptation.MEASURE.record(context, CHOICE, results) == {}


def test_who_writes_no_network_is_asked_for_none(prepared: Prepared) -> None:
    context = prepared.context
    assert "in_context" in context.learners
    assert "in_context" not in context.writers and "in_context" not in context.others
    assert "maml" in context.others
