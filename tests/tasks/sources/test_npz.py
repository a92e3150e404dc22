"""npz files give their arrays, and say what is wrong with them."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import sources


def write_npz(path: Path, **changes: np.ndarray | None) -> str:
    rng = np.random.default_rng(0)
    arrays = {"image": rng.integers(0, 256, (12, 5, 4, 3)).astype(np.uint8)}
    arrays["label"] = np.arange(12) % 3
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return f"npz:{path}"


def test_npz_files(tmp_path: Path) -> None:
    data = sources.load(write_npz(tmp_path / "mine.npz"))
    assert (data.name, data.n_classes) == ("mine", 3)
    assert data.images.shape == (12, 5, 4, 3)
    assert data.images.dtype == np.uint8
    assert data.labels.tolist() == [0, 1, 2] * 4
    assert not data.official_test.any()


def test_npz_files_may_have_a_test_split_and_grey_or_real_pixels(tmp_path: Path) -> None:
    test = np.arange(12) >= 9
    grey = np.linspace(-1, 1, 12 * 20).reshape(12, 5, 4)
    data = sources.load(write_npz(tmp_path / "grey.npz", image=grey, test=test))
    assert data.images.shape == (12, 5, 4, 1)
    assert data.images.dtype == np.float32
    np.testing.assert_array_equal(data.official_test, test)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": None}, "no array 'image', only \\['label'\\]"),
        ({"label": None}, "no array 'label'"),
        (
            {"image": np.zeros((12, 20))},
            r"image \(12, 20\) and label \(12,\) do not belong together",
        ),
        ({"label": np.arange(11)}, "do not belong together"),
        ({"test": np.zeros(11, bool)}, r"and test \(11,\) do not belong together"),
        ({"label": np.eye(12)}, r"label \(12, 12\) looks like one-hot.* store label\.argmax\(1\)$"),
        ({"label": np.zeros((12, 1), int)}, r"looks like a column.* store label\[:, 0\]$"),
        ({"image": np.full((12, 5, 4), 1e300)}, "image 0 has pixels that float32 cannot hold"),
        ({"label": np.array([{}] * 12)}, "the array 'label' holds Python objects; store numbers$"),
        ({"label": np.arange(12) % 3 - 1}, "it has label -1"),
        ({"label": np.arange(12) % 3 * 2}, "no image of class 1"),
        ({"label": np.linspace(0, 2, 12)}, "whole numbers"),
        ({"image": np.full((12, 5, 4), np.nan)}, "image 0 has NaN or infinite pixels"),
        ({"label": np.arange(12) % 3 + 2**40}, "no image of class 0, but label 1099511627778"),
        ({"image": np.full((12, 5, 4), np.inf, np.float32)}, "image 0 has NaN or infinite pixels"),
        ({"image": np.zeros((12, 5, 4, 3, 1))}, "do not belong together"),
        ({"image": np.zeros((12, 0, 4))}, "do not belong together"),
        ({"image": np.zeros((0, 5, 4)), "label": np.zeros(0, int)}, "do not belong together"),
        ({"image": np.full((12, 5, 4), "x")}, "expected numbers, whole numbers and bool$"),
        ({"label": np.array(list("ab") * 6)}, r"np\.unique\(label, .* numbers them from 0"),
        ({"label": np.tile([1, 2, 7], 4)}, r"class 0, but label 7; .* numbers them from 0"),
    ],
)
def test_damaged_npz_files_are_refused(
    tmp_path: Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    source = write_npz(tmp_path / "mine.npz", **changes)
    with pytest.raises(UserError, match=message):
        sources.load(source)


def test_missing_and_broken_npz_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with pytest.raises(UserError, match=r"no such file; make it with numpy\.savez"):
        sources.load(f"npz:{path}")
    write_npz(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="cannot be read as npz"):
        sources.load(f"npz:{path}")
    path.write_bytes(b"PK, but no zip")
    with pytest.raises(UserError, match="cannot be read as npz"):
        sources.load(f"npz:{path}")


def test_one_array_is_not_npz(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros((12, 5, 4)))
    with pytest.raises(UserError, match=r"it is one array \(npy\), not npz; make it with numpy"):
        sources.load(f"npz:{path}")


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip at all", b"\n<!DOCTYPE html><title>404</title>", pickle.dumps({"image": [0]})],
)
def test_other_files_are_refused_without_unsafe_advice(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"it is not an npz file.*make it with numpy") as refused:
        sources.load(f"npz:{path}")
    assert ("web page" in str(refused.value)) == (b"html" in content)
    assert "pickle" not in str(refused.value)


def test_any_damage_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    source = write_npz(path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 17):
        broken = bytearray(whole)
        broken[position] ^= 0xFF
        path.write_bytes(broken)
        with contextlib.suppress(UserError):  # or the byte does not matter
            sources.load(source)


def test_other_arrays_of_the_file_are_left_alone(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "mine.npz", meta=np.array([{"author": "me"}]))
    assert len(sources.load(source).labels) == 12


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_first_are_refused(tmp_path: Path, channels: int) -> None:
    image = np.zeros((12, 8, 8, channels), np.uint8)
    assert sources.load(write_npz(tmp_path / "last.npz", image=image)).images.shape == image.shape
    first = write_npz(tmp_path / "first.npz", image=image.transpose(0, 3, 1, 2))
    with pytest.raises(UserError, match=r"channels first.* store image\.transpose\(0, 2, 3, 1\)$"):
        sources.load(first)
