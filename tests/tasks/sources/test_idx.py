"""IDX files give what is in them, and say which of them is missing or damaged."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import sources
from mole_jax.tasks.sources import idx

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def encoded(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write(folder: Path, name: str, array: np.ndarray, zipped: bool = False) -> Path:
    path = folder / (f"{name}.gz" if zipped else name)
    path.write_bytes(gzip.compress(encoded(array)) if zipped else encoded(array))
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


@pytest.mark.parametrize("zipped", [False, True])
def test_files_are_known_by_what_they_hold_and_by_names_with_a_dot(
    tmp_path: Path, zipped: bool
) -> None:
    """Gzipped without .gz, not gzipped with it, and named as some programs unpack them."""
    write_all(tmp_path, zipped)
    whole = sources.load(f"idx:{tmp_path}")
    for path in tmp_path.iterdir():
        name = path.name.replace("-idx", ".idx")
        path.rename(tmp_path / (name.removesuffix(".gz") if zipped else f"{name}.gz"))
    again = sources.load(f"idx:{tmp_path}")
    np.testing.assert_array_equal(again.images, whole.images)
    np.testing.assert_array_equal(again.labels, whole.labels)


def test_a_relative_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert sources.load("idx:.").name == tmp_path.name


def test_missing_folders_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        sources.load(f"idx:{tmp_path / 'nowhere'}")
    write_all(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="neither t10k-labels-idx1-ubyte nor"):
        sources.load(f"idx:{tmp_path}")


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    array = np.arange(60).reshape(3, 4, 5)
    whole = encoded(array)
    path = tmp_path / "images"
    for length in (0, 3, 4, 15, 16, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="images: "):
            idx.read_idx(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(UserError, match=r"61 bytes of data, its header announces 60"):
        idx.read_idx(path)
    path.write_bytes(whole)
    np.testing.assert_array_equal(idx.read_idx(path), array)


def test_truncated_and_garbled_gzip_files_are_refused(tmp_path: Path) -> None:
    whole = gzip.compress(encoded(np.random.default_rng(0).integers(0, 256, (9, 8, 8))))
    path = tmp_path / "images.gz"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"images\.gz: "):
            idx.read_idx(path)
    # Whichever byte after the gzip header is flipped, the stream, its CRC or its size is wrong.
    for position in range(10, len(whole), 7):
        broken = bytearray(whole)
        broken[position] ^= 0xFF
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"images\.gz: cannot be read .* fetch it again"):
            idx.read_idx(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="not an IDX file"):
        idx.read_idx(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    floats = bytes([0, 0, 0x0D, 1]) + struct.pack(">I", 1) + b"\0\0\0\0"
    for content in (b"<html>not found</html>", floats):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not an IDX file of unsigned bytes"):
            idx.read_idx(path)
    # A garbled header may announce more than any integer type holds.
    path.write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12)
    with pytest.raises(UserError, match="its header announces"):
        idx.read_idx(path)


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


def test_a_class_without_images_is_refused(tmp_path: Path) -> None:
    write_all(tmp_path)
    for split, n in (("train", 30), ("test", 12)):
        write(tmp_path, FILES[split][1], np.arange(n) % 3 * 2)
    with pytest.raises(UserError, match="it has no image of class 1, but label 4; labels must be"):
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
