"""Strokes: what is theirs beside what all made-up classes have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mole_jax.tasks import sources
from mole_jax.tasks.sources import ImageData, made_up
from mole_jax.tasks.sources.glyphs import fonts
from mole_jax.tasks.sources.strokes import characters, handwritten
from tests.tasks.sources.few_made_up import CLASSES, few_made_up


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageData]:
    with few_made_up(tmp_path_factory.mktemp("cache")):
        yield sources.load("strokes")


def test_images_are_all_different_and_have_strokes_and_ground(data: ImageData) -> None:
    for one in data.images.reshape(CLASSES, made_up.IMAGES, 64):
        assert len(np.unique(one, axis=0)) == made_up.IMAGES
    assert data.images.max((1, 2, 3)).min() == 255
    assert data.images.min((1, 2, 3)).max() < 128


def test_written_numerals_are_recognised() -> None:
    paths = [path for path in fonts.of_matplotlib() if path.name == "DejaVuSans.ttf"]
    avoided = made_up.numerals([fonts.pen(path) for path in paths])
    angle = np.linspace(0, 2 * np.pi, 12)
    zero = 0.5 * np.stack([np.cos(angle), 0.6 * np.sin(angle)], -1)
    seven = np.array([[-0.5, -0.3], [-0.5, -0.3], [-0.5, 0.3], [-0.5, 0.3], [0.5, -0.1]])
    for character in ((zero,), (seven,)):
        assert (avoided @ handwritten.shape(character)).max() >= handwritten.LIKE_A_NUMERAL


def test_characters_fill_their_box() -> None:
    for seed in range(20):
        points = np.concatenate(characters.make_up(np.random.default_rng(seed)))
        low, high = points.min(0), points.max(0)
        np.testing.assert_allclose((high - low).max(), 1)
        np.testing.assert_allclose(low + high, 0, atol=1e-9)
