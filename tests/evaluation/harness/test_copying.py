"""Novelty: exactness against brute force, invariance to hidden-unit order, known statistics."""

import itertools

import numpy as np
import pytest
from scipy import stats

from mole_jax.evaluation.harness import copying


def networks(n, hidden=4, features=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, hidden, features))


def test_distance_is_the_minimum_over_all_permutations():
    a, b = networks(2)
    orders = itertools.permutations(range(4))
    brute = min(np.linalg.norm(a - b[list(order)]) for order in orders)
    assert copying.distance(a, b) == pytest.approx(brute)
    assert copying.distance(b, a) == pytest.approx(brute)


def test_distance_ignores_the_order_of_hidden_units():
    a, b = networks(2, hidden=9)
    shuffled = b[np.random.default_rng(1).permutation(9)]
    assert copying.distance(a, shuffled) == pytest.approx(copying.distance(a, b))
    assert copying.distance(b, shuffled) == 0.0


@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_nearest_equals_brute_force(spread):
    centre = networks(1, hidden=5)[0]
    query = centre + spread * networks(7, hidden=5, seed=1)
    reference = centre + spread * networks(40, hidden=5, seed=2)
    brute = [min(copying.distance(q, r) for r in reference) for q in query]
    np.testing.assert_allclose(copying.nearest(query, reference), brute, rtol=1e-12)


def test_nearest_is_the_same_in_small_blocks(monkeypatch):
    query, reference = networks(5, seed=1), networks(23, seed=2)
    whole = copying.nearest(query, reference)
    monkeypatch.setattr(copying, "_BLOCK", 3 * 4**2)
    np.testing.assert_array_equal(copying.nearest(query, reference), whole)


def test_nearest_finds_a_permuted_copy_exactly():
    reference = 100.0 * networks(30, hidden=8).astype(np.float32)
    copy = reference[17][::-1]
    assert copying.nearest(copy[None], reference)[0] == 0.0


def test_nearest_others_leaves_out_a_network_itself_and_nothing_else():
    x = networks(9, hidden=5)
    brute = [min(copying.distance(x[i], x[j]) for j in range(9) if j != i) for i in range(9)]
    np.testing.assert_allclose(copying.nearest_others(x), brute, rtol=1e-12)
    twins = np.concatenate([x, x[:, ::-1]])  # each again, its units in another order
    np.testing.assert_array_equal(copying.nearest_others(twins), 0.0)
    with pytest.raises(ValueError, match="two networks or more"):
        copying.nearest_others(x[:1])


def test_diversity_is_one_for_independent_networks_and_zero_for_copies():
    ours, theirs = networks(60, seed=1), networks(60, seed=2)
    apart = copying.nearest_others(theirs)
    assert copying.diversity(copying.nearest_others(ours), apart) == pytest.approx(1.0, abs=0.1)
    assert copying.diversity(copying.nearest_others(ours[:1].repeat(60, axis=0)), apart) == 0.0


def test_lower_bound_never_exceeds_the_distance():
    query, reference = networks(1, hidden=6)[0], networks(50, hidden=6, seed=3)
    sizes = np.square(reference).sum(axis=-1)
    bounds = copying._lower_bounds(copying._costs(query, reference, sizes))
    exact = np.array([copying.distance(query, r) ** 2 for r in reference])
    assert np.all(bounds <= exact + 1e-9)


def test_nearest_refuses_other_shapes():
    with pytest.raises(ValueError, match="same H and F"):
        copying.nearest(networks(2, hidden=3), networks(2, hidden=4))
    with pytest.raises(ValueError, match="no reference"):
        copying.nearest(networks(2), networks(0))


def test_rho_is_a_ratio_of_medians():
    assert copying.rho([1.0, 2.0, 9.0], [4.0, 4.0]) == 0.5
    with pytest.raises(ValueError, match="copy"):
        copying.rho([1.0], [0.0])


def test_z_u_matches_its_formula_and_its_sign_means_copying():
    rng = np.random.default_rng(0)
    near, far = rng.uniform(0, 1, size=30), rng.uniform(0.5, 2, size=40)
    u = stats.mannwhitneyu(near, far).statistic
    expected = (u - 30 * 40 / 2) / np.sqrt(30 * 40 * 71 / 12)
    assert copying.z_u(near, far) == pytest.approx(expected)
    assert copying.z_u(near, far) < -3 < 3 < copying.z_u(far, near)


def test_z_u_handles_ties():
    assert copying.z_u([1.0, 1.0], [1.0, 1.0, 1.0]) == 0.0
    x, y = np.array([1, 2, 2, 3, 3, 5, 6, 7, 7, 9]), np.array([2, 3, 3, 4, 7, 8, 9, 9, 9, 9])
    p = stats.mannwhitneyu(x, y, method="asymptotic", use_continuity=False).pvalue
    assert 2 * stats.norm.sf(abs(copying.z_u(x, y))) == pytest.approx(p)


def test_iou_of_known_sets():
    generated = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
    reference = np.array([[1, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0]], dtype=bool)
    np.testing.assert_allclose(copying.iou_max(generated, reference), [2 / 3, 0.0])


def test_expected_iou_describes_independent_mistakes_and_not_copies():
    rng = np.random.default_rng(0)
    generated, reference = rng.uniform(size=(60, 200)) < 0.1, rng.uniform(size=(30, 200)) < 0.1
    expected = copying.iou_expected(generated, reference).mean()
    assert copying.iou_max(generated, reference).mean() == pytest.approx(expected, rel=0.08)
    copies = copying.iou_max(reference[:5], reference)
    assert np.all(copies == 1.0) and copies.mean() > 2 * expected
