"""Hands: careful ones differ in slant and proportions only, curves go through the points."""

from __future__ import annotations

import numpy as np

from mole_jax.tasks.sources.strokes import characters, hands


def test_a_curve_goes_through_its_points() -> None:
    points = np.random.default_rng(0).normal(size=(3, 4, 2))
    curve = hands.through(points)
    np.testing.assert_allclose(curve[:, :: (curve.shape[1] - 1) // 3], points, atol=1e-12)


def test_a_closed_curve_goes_through_its_points_and_has_no_corner_where_it_closes() -> None:
    points = np.random.default_rng(0).normal(size=(3, 4, 2))
    curve = hands.around(points)
    np.testing.assert_allclose(curve[:, :: curve.shape[1] // 4], points, atol=1e-12)
    turned = hands.around(np.roll(points, 1, axis=1))
    np.testing.assert_allclose(turned, np.roll(curve, curve.shape[1] // 4, axis=1), atol=1e-12)


def test_careful_hands_differ_by_a_linear_map() -> None:
    character = characters.make_up(np.random.default_rng(1))
    plain = np.concatenate([hands.through(s[None])[0] for s in character])
    written = np.concatenate(hands.write(character, 4, 0.0, np.random.default_rng(2)), axis=1)
    for one in written:
        _, residual, *_ = np.linalg.lstsq(plain, one, rcond=None)
        assert (residual < 1e-20).all()
    assert not np.allclose(written[0], written[1])


def test_careless_hands_differ_more() -> None:
    character = characters.make_up(np.random.default_rng(1))
    spread = [
        np.concatenate(hands.write(character, 200, c, np.random.default_rng(2)), axis=1)
        .std(0)
        .mean()
        for c in (0.0, 0.5, 1.0)
    ]
    assert spread[0] < spread[1] < spread[2]
