"""Pens: broader ones leave more ink, margins stay free, a stroke lies where its curve is."""

from __future__ import annotations

import numpy as np

from mole_jax.tasks.sources.strokes import pens
from mole_jax.tasks.sources.strokes.pens import Pens

CROSS = [
    np.array([[[-0.5, 0.0], [0.5, 0.0]]]),  # down the middle
    np.array([[[0.0, -0.5], [0.0, 0.5]]]),
]


def test_strokes_lie_where_their_curves_are() -> None:
    image = pens.images(CROSS, Pens.plain(), 15)[0]
    assert image[7, 1:-1].min() == image[1:-1, 7].min() == 255
    assert image[:5, :5].max() == 0
    np.testing.assert_array_equal(image, image.T)


def test_broader_pens_leave_more_ink() -> None:
    ink = [pens.images(CROSS, Pens.plain(width), 16).mean() for width in (0.02, 0.05, 0.1)]
    assert ink[0] < ink[1] < ink[2]


def test_a_margin_stays_free() -> None:
    pen = Pens.plain()._replace(margin=np.full(1, 0.25))
    image = pens.images(CROSS, pen, 16)[0]
    assert image[:4].max() == image[:, :4].max() == 0 < image[4:12, 4:12].max()
