"""Files are whole or absent, and plain data survives them."""

from __future__ import annotations

import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.core.storage import files


def test_bytes_round_trip_and_parents_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "data.bin"
    files.write_bytes(path, b"first")
    files.write_bytes(str(path), b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["data.bin"]


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.bin"
    files.write_bytes(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["data.bin"]


def test_others_may_read_the_file(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "x", b"")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~umask


def test_json_takes_numpy_and_jax_and_stays_strict(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_json(
        path,
        {
            "int": np.int32(3),
            "float": np.float64(0.5),
            "array": np.arange(3),
            "jax": jnp.float32(0.25),
            "nan": float("nan"),
            "infinities": np.array([np.inf, 1.0]),
            "tuple": (1, "é"),
            "bool": np.bool_(True),
            "path": Path("a") / "b",
        },
    )
    assert files.read_json(path) == {
        "int": 3,
        "float": 0.5,
        "array": [0, 1, 2],
        "jax": 0.25,
        "nan": None,
        "infinities": [None, 1.0],
        "tuple": [1, "é"],
        "bool": True,
        "path": "a/b",
    }
    assert "NaN" not in path.read_text()


def test_json_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "x.json", {"function": print})
    assert not (tmp_path / "x.json").exists()


def test_reading_says_which_file_is_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.json is missing"):
        files.read_json(tmp_path / "gone.json")
    (tmp_path / "broken.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"broken\.json cannot be read"):
        files.read_json(tmp_path / "broken.json")


def test_arrays_round_trip(tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    files.write_npz(tmp_path / "x.npz", x=x, y=jnp.ones(2))
    with np.load(tmp_path / "x.npz") as loaded:
        np.testing.assert_array_equal(loaded["x"], x)
        assert loaded["x"].dtype == np.float32
        np.testing.assert_array_equal(loaded["y"], np.ones(2))


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for path in (tmp_path / "file" / "x.npz", Path("/proc/x.npz")):
        with pytest.raises(UserError, match=r"cannot be (made|written) \(.*\): choose another"):
            files.write_npz(path, a=np.zeros(2))
    assert (tmp_path / "file").read_text() == "text"


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    other = tmp_path / "b" / ".." / "a.npz"
    with pytest.raises(UserError, match="would be overwritten, but it is also read"):
        files.refuse_overwriting([other], [tmp_path / "a.npz"])
    files.refuse_overwriting([tmp_path / "c.npz"], [tmp_path / "a.npz"])
