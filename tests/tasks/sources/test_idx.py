"""Data sources give what is in their files, and say which file is missing or damaged."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import sources

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write(folder: Path, name: str, array: np.ndarray, zipped: bool = False) -> Path:
    path = folder / (f"{name}.gz" if zipped else name)
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    return path


def write_all(folder: Path, zipped: bool = False) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 30), ("test", 12)):
        images = rng.integers(0, 256, (n, 5, 4))
        labels = np.arange(n) % 3
        arrays[split] = images, labels
        for name, array in zip(FILES[split], arrays[split], strict=True):
            write(folder, name, array, zipped)
    return arrays


def test_digits() -> None:
    data = sources.load("digits")
    assert data.name == "digits"
    assert data.images.shape == (1797, 8, 8, 1)
    assert data.images.dtype == np.uint8
    assert data.images.max() == 16
    assert data.labels.dtype == np.int32
    assert np.unique(data.labels).tolist() == list(range(data.n_classes)) == list(range(10))
    assert not data.official_test.any()


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(tmp_path: Path, zipped: bool) -> None:
    folder = tmp_path / "shapes"
    folder.mkdir()
    arrays = write_all(folder, zipped)
    data = sources.load(f"idx:{folder}")
    assert (data.name, data.n_classes) == ("shapes", 3)
    assert data.images.shape == (42, 5, 4, 1)
    assert data.images.dtype == np.uint8
    for split, chosen in (("train", ~data.official_test), ("test", data.official_test)):
        np.testing.assert_array_equal(data.images[chosen][..., 0], arrays[split][0])
        np.testing.assert_array_equal(data.labels[chosen], arrays[split][1])


def test_a_relative_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert sources.load("idx:.").name == tmp_path.name


@pytest.mark.parametrize("source", ["", "mnist", "digits:8", "idx", "idx:", "npz", "tfds"])
def test_unknown_sources_are_refused(source: str) -> None:
    with pytest.raises(UserError, match="is unknown; use 'digits', 'idx:DIR' or"):
        sources.load(source)


def test_missing_folders_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        sources.load(f"idx:{tmp_path / 'nowhere'}")
    write_all(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="neither t10k-labels-idx1-ubyte nor"):
        sources.load(f"idx:{tmp_path}")


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    array = np.arange(60).reshape(3, 4, 5)
    whole = idx(array)
    path = tmp_path / "images"
    for length in (0, 3, 4, 15, 16, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="images: "):
            sources.read_idx(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(UserError, match=r"61 bytes of data, its header announces 60"):
        sources.read_idx(path)
    path.write_bytes(whole)
    np.testing.assert_array_equal(sources.read_idx(path), array)


def test_truncated_and_garbled_gzip_files_are_refused(tmp_path: Path) -> None:
    whole = gzip.compress(idx(np.random.default_rng(0).integers(0, 256, (9, 8, 8))))
    path = tmp_path / "images.gz"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"images\.gz: "):
            sources.read_idx(path)
    # Whichever byte after the gzip header is flipped, the stream, its CRC or its size is wrong.
    for position in range(10, len(whole), 7):
        broken = bytearray(whole)
        broken[position] ^= 0xFF
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"images\.gz: cannot be read .* fetch it again"):
            sources.read_idx(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="cannot be read"):
        sources.read_idx(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    floats = bytes([0, 0, 0x0D, 1]) + struct.pack(">I", 1) + b"\0\0\0\0"
    for content in (b"<html>not found</html>", floats):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not an IDX file of unsigned bytes"):
            sources.read_idx(path)
    # A garbled header may announce more than any integer type holds.
    path.write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12)
    with pytest.raises(UserError, match="its header announces"):
        sources.read_idx(path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(29), "do not belong together"),
        ("train-labels-idx1-ubyte", np.zeros((30, 1)), "do not belong together"),
        ("train-images-idx3-ubyte", np.zeros((30, 20)), "do not belong together"),
        ("t10k-images-idx3-ubyte", np.zeros((12, 5, 5)), "not of one data set"),
    ],
)
def test_files_of_different_data_sets_are_refused(
    tmp_path: Path, name: str, array: np.ndarray, message: str
) -> None:
    write_all(tmp_path)
    write(tmp_path, name, array)
    with pytest.raises(UserError, match=message):
        sources.load(f"idx:{tmp_path}")


def test_empty_files_are_refused(tmp_path: Path) -> None:
    write_all(tmp_path)
    write(tmp_path, "t10k-images-idx3-ubyte", np.zeros((0, 5, 4)))
    write(tmp_path, "t10k-labels-idx1-ubyte", np.zeros(0))
    with pytest.raises(UserError, match="with N > 0"):
        sources.load(f"idx:{tmp_path}")


@pytest.mark.skipif(
    not FASHION_MNIST.is_dir(), reason="needs Debian's package dataset-fashion-mnist"
)
def test_fashion_mnist() -> None:
    data = sources.load(f"idx:{FASHION_MNIST}")
    assert (data.name, data.n_classes) == ("fashion-mnist", 10)
    assert data.images.shape == (70_000, 28, 28, 1)
    assert np.bincount(data.labels).tolist() == [7000] * 10
    assert np.bincount(data.labels[data.official_test]).tolist() == [1000] * 10
    # Published statistics of its 60,000 training images.
    histogram = np.bincount(data.images[~data.official_test].reshape(-1), minlength=256)
    value = np.arange(256) / 255
    mean = np.average(value, weights=histogram)
    assert mean == pytest.approx(0.2860, abs=1e-4)
    assert np.average((value - mean) ** 2, weights=histogram) ** 0.5 == pytest.approx(
        0.353, abs=1e-4
    )


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
        ({"image": np.zeros((12, 20))}, r"image \(12, 20\), .* do not belong together"),
        ({"label": np.arange(11)}, "do not belong together"),
        ({"test": np.zeros(11, bool)}, "do not belong together"),
        ({"label": np.arange(12) % 3 - 1}, "it has label -1"),
        ({"label": np.arange(12) % 3 * 2}, "no image of class 1"),
        ({"label": np.linspace(0, 2, 12)}, "whole numbers"),
        ({"image": np.full((12, 5, 4), np.nan)}, "image 0 has NaN or infinite pixels"),
        ({"image": np.full((12, 5, 4), "x")}, "expected numbers"),
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
    path.write_bytes(b"no zip at all")
    with pytest.raises(UserError, match="cannot be read as npz"):
        sources.load(f"npz:{path}")
