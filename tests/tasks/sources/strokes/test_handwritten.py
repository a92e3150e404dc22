"""Strokes: no class like another or like a numeral, the same pixels each time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import sources
from mole_jax.tasks.sources import ImageData, made_up
from mole_jax.tasks.sources.glyphs import fonts
from mole_jax.tasks.sources.strokes import characters, handwritten
from tests.tasks.sources.few_made_up import CLASSES, few_made_up


@pytest.fixture(scope="module")
def avoided() -> np.ndarray:
    paths = [path for path in fonts.of_matplotlib() if path.name == "DejaVuSans.ttf"]
    return made_up.numerals([fonts.pen(path) for path in paths])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageData]:
    with few_made_up(tmp_path_factory.mktemp("cache")):
        yield sources.load("strokes")


def test_classes_have_names_and_equally_many_images(data: ImageData) -> None:
    assert data.images.shape == (CLASSES * handwritten.IMAGES, 8, 8, 1)
    assert (data.images.dtype, data.white, data.n_classes) == (np.uint8, 255, CLASSES)
    assert data.class_names and data.class_names[0] == "strokes 0"


def test_it_is_kept_and_the_same_when_drawn_again(
    data: ImageData, avoided: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delattr(handwritten, "draw")
        handwritten.load.cache_clear()
        assert sources.load("strokes").sha256 == data.sha256
    first, second = (handwritten.draw(8, 3, avoided) for _ in range(2))
    np.testing.assert_array_equal(first["image"], second["image"])


def test_a_class_does_not_depend_on_how_many_there_are(avoided: np.ndarray) -> None:
    two, five = (handwritten.draw(8, n, avoided)["image"] for n in (2, 5))
    np.testing.assert_array_equal(two, five[: len(two)])


def test_images_of_a_class_are_all_different_and_have_strokes_and_ground(data: ImageData) -> None:
    for one in data.images.reshape(CLASSES, handwritten.IMAGES, 64):
        assert len(np.unique(one, axis=0)) == handwritten.IMAGES
    assert data.images.max((1, 2, 3)).min() == 255
    assert data.images.min((1, 2, 3)).max() < 128


def test_no_class_is_like_another_or_like_a_numeral(avoided: np.ndarray) -> None:
    found = [p for _, p in itertools.islice(handwritten.different(avoided), 60)]
    shapes = np.stack([handwritten.shape(character) for character in found])
    alike = shapes @ shapes.T - np.eye(len(shapes))
    assert alike.max() < handwritten.ALIKE
    assert (shapes @ avoided.T).max() < handwritten.LIKE_A_NUMERAL


def test_written_numerals_are_recognised(avoided: np.ndarray) -> None:
    angle = np.linspace(0, 2 * np.pi, 12)
    zero = 0.5 * np.stack([np.cos(angle), 0.6 * np.sin(angle)], -1)
    seven = np.array([[-0.5, -0.3], [-0.5, -0.3], [-0.5, 0.3], [-0.5, 0.3], [0.5, -0.1]])
    for character in ((zero,), (seven,)):
        assert (avoided @ handwritten.shape(character)).max() >= handwritten.LIKE_A_NUMERAL


def test_an_image_is_nearer_to_its_own_class(data: ImageData) -> None:
    flat = data.images.reshape(CLASSES, handwritten.IMAGES, 64).astype(float)
    centres, last = flat[:, :90].mean(1), flat[:, 90:].reshape(-1, 64)
    nearest = ((last[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
    accuracy = (nearest == np.repeat(np.arange(CLASSES), 10)).mean()
    assert 0.5 < accuracy < 1.0  # of 30: neither hopeless nor trivial


def test_characters_fill_their_box() -> None:
    for seed in range(20):
        points = np.concatenate(characters.make_up(np.random.default_rng(seed)))
        low, high = points.min(0), points.max(0)
        np.testing.assert_allclose((high - low).max(), 1)
        np.testing.assert_allclose(low + high, 0, atol=1e-9)


@pytest.mark.parametrize("side", ["x", "5", "@a", "28@a", "9" * 5000])
def test_a_wrong_side_is_explained(side: str) -> None:
    with pytest.raises(UserError, match=r"SIDE is .* must be a whole number, 6 to 64.*strokes:28"):
        sources.load(f"strokes:{side}")
