"""npz files give their arrays, and say what is wrong with them."""

from __future__ import annotations

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
        ({"image": np.zeros((12, 20))}, r"image \(12, 20\), .* do not belong together"),
        ({"label": np.arange(11)}, "do not belong together"),
        ({"test": np.zeros(11, bool)}, "do not belong together"),
        ({"label": np.arange(12) % 3 - 1}, "it has label -1"),
        ({"label": np.arange(12) % 3 * 2}, "no image of class 1"),
        ({"label": np.linspace(0, 2, 12)}, "whole numbers"),
        ({"image": np.full((12, 5, 4), np.nan)}, "image 0 has NaN or infinite pixels"),
        ({"label": np.arange(12) % 3 + 2**40}, "no image of class 0, but label 1099511627778"),
        ({"image": np.full((12, 5, 4), np.inf, np.float32)}, "image 0 has NaN or infinite pixels"),
        ({"image": np.zeros((12, 5, 4, 3, 1))}, "do not belong together"),
        ({"image": np.zeros((12, 0, 4))}, "do not belong together"),
        ({"image": np.zeros((0, 5, 4)), "label": np.zeros(0, int)}, "do not belong together"),
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


def test_one_array_is_not_npz(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros((12, 5, 4)))
    with pytest.raises(UserError, match=r"it is one array \(npy\), not npz; make it with numpy"):
        sources.load(f"npz:{path}")


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "mine.npz", label=np.array([{}] * 12))
    with pytest.raises(UserError, match=r"cannot be read as npz .*allow_pickle"):
        sources.load(source)
