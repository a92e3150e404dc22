"""Statistics: known answers, and the properties that make the intervals honest."""

import numpy as np
import pytest

from mole_jax.evaluation.harness import statistics


def test_quality_of_known_numbers():
    values = np.array([[1.0, 0.9], [0.8, 0.3]])
    losses = np.array([[0.1, 0.2], [0.3, 2.0]])
    q = statistics.quality(values, losses, chance=0.2, trained=[1.0, 1.0])
    assert q["mean"] == pytest.approx(0.75)
    assert q["median"] == pytest.approx(0.85)
    assert q["failure_rate"] == pytest.approx(0.25)  # the bar is 0.2 + 0.25 * 0.8 = 0.4
    assert q["loss_mean"] == pytest.approx(0.65)
    low, high = q["ci95"]
    assert low == pytest.approx(0.55) and high == pytest.approx(0.95)


def test_quality_counts_networks_without_a_finite_loss_as_failed():
    values = np.full((2, 2), 0.9)
    losses = np.array([[0.1, np.nan], [0.3, np.inf]])
    q = statistics.quality(values, losses, chance=0.2, trained=0.9)
    assert q["failure_rate"] == 0.5 and q["nonfinite_rate"] == 0.5
    assert q["loss_mean"] == pytest.approx(0.2)
    q = statistics.quality(values, np.full((2, 2), np.nan), chance=0.2, trained=0.9)
    assert q["loss_mean"] is None


def test_quality_refuses_mismatched_shapes():
    with pytest.raises(ValueError, match="same shape"):
        statistics.quality(np.zeros((2, 3)), np.zeros((3, 2)), chance=0.0, trained=1.0)


def test_bootstrap_is_seeded_covers_and_narrows():
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=20), rng.normal(size=2000)
    assert statistics.bootstrap_mean_ci(few, seed=3) == statistics.bootstrap_mean_ci(few, seed=3)
    low, high = statistics.bootstrap_mean_ci(few)
    assert low < few.mean() < high
    low_many, high_many = statistics.bootstrap_mean_ci(many, n_boot=500)
    assert high_many - low_many < 0.25 * (high - low)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        low, high = statistics.bootstrap_mean_ci(rng.normal(size=40), n_boot=400, seed=trial)
        hits += low <= 0.0 <= high
    assert 0.88 <= hits / 200 <= 1.0


def test_intervals_resample_tasks_so_repeating_networks_changes_nothing():
    rng = np.random.default_rng(2)
    values = rng.uniform(size=(12, 4))
    once = statistics.quality(values, values, chance=0.0, trained=1.0)
    thrice = statistics.quality(np.tile(values, 3), np.tile(values, 3), chance=0.0, trained=1.0)
    np.testing.assert_allclose(once["ci95"], thrice["ci95"])


def test_regret_is_paired_and_signed():
    difficulty = np.linspace(0.2, 0.9, 30)[:, None] * np.ones((1, 3))
    mean, (low, high) = statistics.paired_gain(difficulty + 0.02, difficulty)
    assert mean == pytest.approx(0.02)
    assert low == pytest.approx(0.02) and high == pytest.approx(0.02)
    assert statistics.paired_gain(difficulty, difficulty + 0.02)[0] == pytest.approx(-0.02)


def test_alignment_is_one_for_obedience_and_zero_for_the_mean():
    prompts = np.array([0.1, 0.2, 0.5, 1.0])
    obedient = statistics.prompt_alignment(prompts, np.tile(prompts, (5, 1)))
    assert obedient["r2_mean"] == pytest.approx(1.0)
    assert obedient["spearman_mean"] == pytest.approx(1.0)
    assert obedient["mae_mean"] == pytest.approx(0.0)
    deaf = statistics.prompt_alignment(prompts, np.full((5, 4), prompts.mean()))
    assert deaf["r2_mean"] == pytest.approx(0.0)
    assert deaf["spearman_mean"] == 0.0


def test_alignment_with_a_prompt_list_per_network():
    prompts = np.array([0.1, 0.2, 0.5, 1.0])
    achieved = np.random.default_rng(0).uniform(size=(6, 4))
    shared = statistics.prompt_alignment(prompts, achieved)
    assert shared == statistics.prompt_alignment(np.tile(prompts, (6, 1)), achieved)


def test_alignment_of_some_prompts_is_that_of_these_alone():
    rng = np.random.default_rng(0)
    prompts, achieved = rng.uniform(size=(2, 6, 5))
    part = np.zeros((6, 5), bool)
    part[:, [0, 2, 3]] = True
    achieved[:, 4] = np.nan  # which does not count
    alone = statistics.prompt_alignment(prompts[:, [0, 2, 3]], achieved[:, [0, 2, 3]])
    found = statistics.prompt_alignment(prompts, achieved, part)
    assert found == pytest.approx(alone)
    part[1, 2:] = False
    with pytest.raises(ValueError, match="two prompts that count"):
        statistics.prompt_alignment(prompts, achieved, part)


def test_alignment_counts_what_it_leaves_out_and_refuses_what_it_cannot_measure():
    prompts = np.array([0.1, 0.2])
    achieved = np.array([[0.1, 0.2], [np.nan, 0.2]])
    result = statistics.prompt_alignment(prompts, achieved)
    assert result["nonfinite_rate"] == 0.5 and result["r2_mean"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="different prompts"):
        statistics.prompt_alignment(np.array([0.3, 0.3]), achieved)
    with pytest.raises(ValueError, match="do not fit"):
        statistics.prompt_alignment(np.zeros(3), achieved)
    with pytest.raises(ValueError, match="no network"):
        statistics.prompt_alignment(prompts, np.full((2, 2), np.nan))


def test_equivalent_steps_finds_the_first_crossing():
    steps = np.array([0, 10, 20, 40])
    curve = np.tile([2.0, 1.0, 0.5, 0.25], (1, 4, 1))  # [1, 4, K]
    losses = np.array([[2.0, 0.9, 0.5, 0.1]])
    result = statistics.equivalent_steps(curve, steps, losses)
    assert result["median"] == 20.0  # 0, 20, 20, 40
    assert result["censored"] == 0.25
    worthless = statistics.equivalent_steps(curve, steps, np.full((1, 4), np.nan))
    assert worthless == {"median": 0.0, "p10": 0.0, "censored": 0.0}


def test_equivalent_steps_refuses_shapes_that_disagree():
    with pytest.raises(ValueError, match="shapes disagree"):
        statistics.equivalent_steps(np.zeros((2, 3, 4)), np.arange(5), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="increase"):
        statistics.equivalent_steps(np.zeros((2, 3, 2)), np.array([5, 5]), np.zeros((2, 3)))
