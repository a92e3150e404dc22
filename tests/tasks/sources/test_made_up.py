"""Classes that are made up: none like another or like a numeral, the same pixels each time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import sources
from mole_jax.tasks.sources import ImageData, made_up
from mole_jax.tasks.sources.glyphs import fonts
from mole_jax.tasks.sources.made_up import IMAGES
from mole_jax.tasks.sources.silhouettes import painted
from mole_jax.tasks.sources.strokes import handwritten
from tests.tasks.sources.few_made_up import CLASSES, few_made_up

SOURCES = {"strokes": handwritten, "silhouettes": painted}


@pytest.fixture(scope="module")
def avoided() -> np.ndarray:
    paths = [path for path in fonts.of_matplotlib() if path.name == "DejaVuSans.ttf"]
    return made_up.numerals([fonts.pen(path) for path in paths])


@pytest.fixture(scope="module", params=SOURCES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def source(name: str) -> ModuleType:
    return SOURCES[name]


@pytest.fixture(scope="module")
def data(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageData]:
    with few_made_up(tmp_path_factory.mktemp("cache")):
        yield sources.load(name)


def test_classes_have_names_and_equally_many_images(name: str, data: ImageData) -> None:
    assert data.images.shape == (CLASSES * IMAGES, 8, 8, 1)
    assert (data.images.dtype, data.white, data.n_classes) == (np.uint8, 255, CLASSES)
    assert data.class_names and data.class_names[0] == f"{name} 0"


def test_it_is_kept_and_the_same_when_drawn_again(
    name: str,
    source: ModuleType,
    data: ImageData,
    avoided: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.delattr(made_up, "images")
        source.load.cache_clear()
        assert sources.load(name).sha256 == data.sha256
    first, second = (source.draw(8, 3, avoided) for _ in range(2))
    np.testing.assert_array_equal(first["image"], second["image"])


def test_a_class_does_not_depend_on_how_many_there_are(
    source: ModuleType, avoided: np.ndarray
) -> None:
    two, five = (source.draw(8, n, avoided)["image"] for n in (2, 5))
    np.testing.assert_array_equal(two, five[: len(two)])


def test_no_class_is_like_another_or_like_a_numeral(
    source: ModuleType, avoided: np.ndarray
) -> None:
    chosen = itertools.islice(source.different(avoided), 60)
    shapes = np.stack([source.shape(one) for _, one in chosen])
    alike = shapes @ shapes.T - np.eye(len(shapes))
    assert alike.max() < source.ALIKE
    assert (shapes @ avoided.T).max() < source.LIKE_A_NUMERAL


def test_images_of_a_class_differ_and_have_bright_pixels(data: ImageData) -> None:
    for one in data.images.reshape(CLASSES, IMAGES, 64):
        assert len(np.unique(one, axis=0)) > 0.9 * IMAGES
    assert data.images.max((1, 2, 3)).min() == 255


def test_an_image_is_nearer_to_its_own_class(data: ImageData) -> None:
    flat = data.images.reshape(CLASSES, IMAGES, 64).astype(float)
    centres, last = flat[:, :90].mean(1), flat[:, 90:].reshape(-1, 64)
    nearest = ((last[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
    accuracy = (nearest == np.repeat(np.arange(CLASSES), 10)).mean()
    assert 0.5 < accuracy < 1.0  # of 30: neither hopeless nor trivial


@pytest.mark.parametrize("side", ["x", "5", "@a", "28@a", "9" * 5000])
def test_a_wrong_side_is_explained(name: str, side: str) -> None:
    wanted = rf"SIDE is .* must be a whole number, 6 to 64.*{name}:28"
    with pytest.raises(UserError, match=wanted):
        sources.load(f"{name}:{side}")
