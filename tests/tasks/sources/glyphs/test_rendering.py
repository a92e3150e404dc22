"""Glyphs: one class a shape, none like a numeral, the same pixels each time, kept in a cache."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import images, sources
from mole_jax.tasks.sources import ImageData
from mole_jax.tasks.sources.glyphs import fonts, rendering
from tests import tiny
from tests.tasks.sources.few_glyphs import few_glyphs


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def few(cache: Path) -> Iterator[list[Path]]:
    with few_glyphs(cache) as paths:
        yield paths


@pytest.fixture(scope="module")
def data(few: list[Path]) -> ImageData:
    return sources.load("glyphs")


@pytest.fixture(scope="module")
def drawn(few: list[Path]) -> dict[str, np.ndarray]:
    return rendering.draw([fonts.open_font(path) for path in few], 8)


def kept(cache: Path) -> Path:
    (path,) = (cache / "mole").glob("glyphs-8-*.npz")
    return path


def test_characters_of_one_shape_are_one_class(drawn: dict[str, np.ndarray]) -> None:
    members = drawn["members"].tolist()
    for shape in ("AΑАᴬ", "СCc", "xX"):
        assert any(set(shape) <= set(name) for name in members), shape
    for different in ("Kk", "Ak", "ñg", "Aш"):  # and these are not
        assert not any(set(different) <= set(name) for name in members), different


def test_nothing_is_a_numeral_or_like_one(drawn: dict[str, np.ndarray]) -> None:
    assert not set("0OoΟØlI|З") & set("".join(drawn["members"]))
    assert {*"kg☺→≠þ"} <= set("".join(drawn["members"]))


def test_what_draws_nothing_is_no_class(drawn: dict[str, np.ndarray]) -> None:
    assert "\u2800" not in "".join(drawn["members"])
    image = drawn["image"]
    assert image.max((1, 2, 3)).min() > 200  # each has a stroke
    assert image.min((1, 2, 3)).max() < 128  # and a ground


def test_images_of_a_class_are_all_different(drawn: dict[str, np.ndarray]) -> None:
    for one in drawn["image"].reshape(-1, rendering.IMAGES, 64):
        assert len(np.unique(one, axis=0)) == rendering.IMAGES


def test_pixels_are_the_same_each_time(drawn: dict[str, np.ndarray], data: ImageData) -> None:
    np.testing.assert_array_equal(drawn["image"], data.images)
    assert data.class_names and "U+0041 A" in data.class_names
    assert (data.images.dtype, data.white) == (np.uint8, 255)


def test_a_class_does_not_depend_on_the_others(
    few: list[Path], drawn: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "may_be_a_class", lambda c: c in "kñ")
    two = rendering.draw([fonts.open_font(path) for path in few], 8)
    all_ = drawn["image"].reshape(len(drawn["members"]), -1)
    for name, image in zip(two["members"], two["image"].reshape(2, -1), strict=True):
        np.testing.assert_array_equal(image, all_[drawn["members"].tolist().index(name)])


def test_what_was_drawn_is_kept(
    data: ImageData, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(rendering, "draw")
    rendering.load.cache_clear()
    assert sources.load("glyphs").sha256 == data.sha256
    assert kept(cache).stat().st_size > data.images.size


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_file_is_drawn_again(
    damage: str, data: ImageData, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kept(cache)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut": whole[:middle],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "emptied": b"",
        }[damage]
    )
    rendering.load.cache_clear()
    assert sources.load("glyphs").sha256 == data.sha256
    assert "glyphs: drawn again, because" in capsys.readouterr().err
    assert path.read_bytes() == whole


def test_where_nothing_can_be_kept_it_is_drawn_all_the_same(
    data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    rendering.load.cache_clear()
    assert sources.load("glyphs").sha256 == data.sha256
    assert "not kept for the next time" in capsys.readouterr().err


def test_fonts_of_a_folder_are_added(few: list[Path], tmp_path: Path, data: ImageData) -> None:
    shutil.copy(few[0].with_name("STIXGeneral.ttf"), tmp_path / "Mine.TTF")
    more = sources.load(f"glyphs:8@{tmp_path}")
    assert more.name == "glyphs" and more.sha256 != data.sha256


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("glyphs:x", r"SIDE is 'x', it must be a whole number, 6 to 64"),
        ("glyphs:5", "SIDE is '5', it must be"),
        ("glyphs:-8", "SIDE is '-8', it must be"),
        ("glyphs:@fonts", "SIDE is '', it must be"),
        ("glyphs:8@{folder}/nowhere", "there is no folder .*/nowhere; give one with fonts"),
        ("glyphs:8@{folder}", r"has no \.ttf or \.otf file; give another folder"),
        ("glyphs:8@{folder}/bad", r"bad\.ttf: it cannot be read as a font .*; move it to another"),
        ("glyps", "did you mean 'glyphs'"),
    ],
)
def test_mistakes_are_explained(source: str, message: str, few: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bad.ttf").write_bytes(b"not a font")
    with pytest.raises(UserError, match=message):
        sources.load(source.format(folder=tmp_path))


def test_digits_can_be_held_out(data: ImageData) -> None:
    """Digits' pixels, 0..16, are brought to glyphs' 0..255, and none of them is trained on."""
    mixed = sources.load("glyphs+digits")
    digits = mixed.images[mixed.class_source[mixed.labels] == 1]
    assert digits.dtype == np.uint8
    expected = np.round(sources.load("digits").images.astype(float) * (255 / 16))
    np.testing.assert_array_equal(digits, expected)
    assert mixed.class_names and mixed.class_names[-10:] == tuple("0123456789")
    np.testing.assert_array_equal(mixed.images[: len(data.images)], data.images)
    held_out = {
        "data.held_out_sources": "digits",
        "data.unseen_source_subsets": 2,
        "data.train_subsets": 30,
    }
    config = tiny.tiny_config(**{"data.source": "glyphs+digits", **held_out})
    family = images.build(config)
    seen = {family.subsets[i].classes for i in family.indices("S3")}
    assert seen and all(min(classes) >= data.n_classes for classes in seen)
    assert family.provenance() == {"images_sha256": mixed.sha256}
