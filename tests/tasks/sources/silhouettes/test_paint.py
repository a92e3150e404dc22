"""Paint: areas lie where their outlines are, holes are dark, something is always left."""

from __future__ import annotations

import numpy as np

from mole_jax.tasks.sources.silhouettes import paint
from mole_jax.tasks.sources.silhouettes.copies import Surfaces
from mole_jax.tasks.sources.silhouettes.paint import Views

SQUARE = np.array([[[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]]])


def surface(level: float, **changes: np.ndarray) -> Surfaces:
    none = np.zeros(1)
    plain = Surfaces(np.full(1, level), np.zeros((1, 2)), none, np.ones((1, 2)), none, none)
    return plain._replace(**changes)


def painted(*parts: tuple[np.ndarray, Surfaces], side: int = 16) -> np.ndarray:
    views = Views.plain()._replace(margin=np.full(1, 0.25))
    return paint.images(parts, views, side, np.random.default_rng(0))[0]


def test_an_area_is_filled_and_its_margin_stays_free() -> None:
    image = painted((SQUARE, surface(0.0)))
    assert image[5:11, 5:11].min() == 255
    image[3:13, 3:13] = 0  # an edge may reach half a pixel further
    assert image.max() == 0


def test_later_parts_cover_earlier_ones_and_holes_are_dark() -> None:
    for level, expected in ((-1.0, round(255 * np.exp(-1.0))), (-np.inf, 0)):
        image = painted((SQUARE, surface(0.0)), (SQUARE / 2, surface(level)))
        assert image[7, 7] == expected
        assert image[4, 4] == 255


def test_a_hole_that_leaves_little_is_not_cut() -> None:
    whole = painted((SQUARE, surface(0.0)))
    for size in (1, 0.95, 0.8):
        image = painted((SQUARE, surface(0.0)), (size * SQUARE, surface(-np.inf)))
        np.testing.assert_array_equal(image, whole)


def test_patterns() -> None:
    down = painted((SQUARE, surface(-1.0, slope=np.array([[1.0, 0.0]]))))[5:11, 5:11].astype(int)
    assert (np.diff(down, axis=0) > 0).all() and (np.diff(down, axis=1) == 0).all()
    waves = {"stripes": np.full(1, 0.5), "waves": np.array([[0.0, 4.0]])}
    striped = painted((SQUARE, surface(-1.0, **waves)))[5:11, 5:11].astype(int)
    assert striped.std(0).max() == 0 < striped.std(1).min()
    spotted = painted((SQUARE, surface(-1.0, spots=np.full(1, 0.5))))[5:11, 5:11]
    assert spotted.std(0).min() > 0 and spotted.std(1).min() > 0
