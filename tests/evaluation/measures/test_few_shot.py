"""Few-shot comparison: what is judged, and that everybody has the same examples."""

from __future__ import annotations

import numpy as np

from mole_jax.evaluation.baselines.adam_support import AdamSupport
from mole_jax.evaluation.baselines.classical import CLASSICAL
from mole_jax.evaluation.harness import statistics
from mole_jax.evaluation.harness.measure import Results, jobs
from mole_jax.evaluation.measures import adaptation, few_shot, fixed_prompt, polishing
from mole_jax.evaluation.measures.few_shot import Pool, judge
from tests.evaluation.conftest import Prepared


def test_a_mean_of_networks_is_judged_by_its_mean_probabilities() -> None:
    labels = np.array([0, 1, 1, 0])
    pool = Pool(np.zeros((4, 2)), labels)
    right, wrong = np.eye(2)[labels], np.eye(2)[1 - labels]
    half = 0.6 * right + 0.4 * wrong
    sure = 0.1 * right + 0.9 * wrong
    found = judge([np.stack([half, half, sure])], [pool])
    np.testing.assert_allclose(found.single[0], 2 / 3)
    np.testing.assert_allclose(found.together[0], 0.0)  # 0.43 for what is right
    np.testing.assert_allclose(found.single[1], -(2 * np.log(0.6) + np.log(0.1)) / 3)
    np.testing.assert_allclose(found.together[1], -np.log(1.3 / 3))
    # Two thirds are 60 % sure and right, one third 90 % sure and wrong.
    np.testing.assert_allclose(found.single_ece, (2 * 0.4 + 0.9) / 3)


def test_calibration_error_of_a_forecaster_who_knows_is_small() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.3, 1.0, 40_000)
    right = rng.uniform(size=len(sure)) < sure
    assert statistics.calibration_error(sure, right) < 0.02
    np.testing.assert_allclose(statistics.calibration_error([1.0, 1.0], [True, False]), 0.5)


def test_every_method_answers_at_every_number_of_shots(prepared: Prepared) -> None:
    context = prepared.context
    results = Results(context)
    needed = fixed_prompt.MEASURE, adaptation.MEASURE, polishing.MEASURE
    for job in jobs(context, [*needed, few_shot.CHOSEN, few_shot.MEASURE]):
        if job.split in ("choice", "S1"):
            found = job.measure.compute(job.seen_from(context), job.split, results)
            results.found[job] = found
    found = results.of(few_shot.MEASURE, "S1")
    assert found.shots.tolist() == few_shot.shots_of(context)
    ours = [*context.learners, "diffusion_polished", "regression_polished"]
    names = [*ours, AdamSupport.name, "adam_warped", *(of.name for of in CLASSICAL)]
    names += ["nearest_neighbour_warped", "svm_warped"]
    assert found.methods.tolist() == names
    shape = (len(found.shots), len(names), 2, len(context.splits["S1"].tasks))
    assert found.single.shape == found.together.shape == shape
    assert np.isfinite(found.single).all() and np.isfinite(found.together).all()
    # Classical learners have one answer.
    first = names.index(CLASSICAL[0].name)
    np.testing.assert_allclose(found.single[:, first:], found.together[:, first:])
    record = few_shot.MEASURE.record(context, "S1", results)["few_shot"]
    assert set(record["shots"]) == {str(shots) for shots in found.shots}
    rivals = [record["shots"]["1"][name]["mean"]["accuracy"] for name in names[len(ours) :]]
    best = max(rivals)
    for name in names:
        mine = record["shots"]["1"][name]["mean"]
        np.testing.assert_allclose(mine["gain_mean"], mine["accuracy"] - best, atol=1e-9)
