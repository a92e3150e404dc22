"""Stored metrics against those that the weights have on a test set."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.interop.lmdb.check_metrics import read_test_set
from mole_jax.interop.lmdb.import_lmdb import LmdbOptions, import_gpt
from mole_jax.tasks.networks import shorthand
from mole_jax.zoo.__main__ import main
from tests.interop.lmdb import gpt_data


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    zoo = tmp_path_factory.mktemp("example") / "zoo"
    import_gpt(gpt_data.EXAMPLE, zoo, LmdbOptions("mlp:64,8,5"))
    return zoo


def test_the_largest_difference_is_rounding(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-metrics", str(example), "--data", f"npz:{gpt_data.TEST_SET}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["avg_test_loss", "avg_test_err"]
    for line in lines:
        found = re.search(r"largest difference (\S+)", line)
        assert found is not None and float(found[1]) < 1e-5


def test_other_data_is_noticed(
    example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = dict(np.load(gpt_data.TEST_SET))
    stored["label"] = np.roll(stored["label"], 1)
    np.savez(tmp_path / "rolled.npz", **stored)
    arguments = ["check-metrics", str(example), "--data", f"npz:{tmp_path / 'rolled.npz'}"]
    assert main([*arguments, "--runs=1"]) == 1
    assert main([*arguments, "--runs=1", "--tolerance=1000"]) == 0
    assert "run 000000" in capsys.readouterr().out
    for wrong in ("--tolerance=nan", "--tolerance=-1", "--runs=-3"):
        assert main([*arguments, wrong]) == 2
        assert "must be numbers, 0 or more" in capsys.readouterr().err


def test_a_cnn_takes_images_of_either_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Zero weights: every logit is the bias, whatever the image, and the loss is known.
    data = gpt_data.make(tmp_path / "data", 1, network="cnn:3,2,4,5")
    folder = data / "000000"
    key = next(iter(json.loads((folder / "runs.json").read_text())["checkpoints"]))
    for name in json.loads((folder / "runs.json").read_text())["checkpoints"]:
        gpt_data.change(folder, name, np.zeros(151, "<f4").tobytes())
    checkpoints = json.loads((folder / "runs.json").read_text())["checkpoints"]
    metrics = {"avg_test_loss": float(np.log(5)), "avg_test_err": 75.0}
    gpt_data.change_json(folder, checkpoints=dict.fromkeys(checkpoints, metrics))
    assert key in checkpoints
    import_gpt(data, tmp_path / "zoo", LmdbOptions("cnn:3,2,4,5"))
    label = np.array([0, 1, 2, 4])
    for shape in ((8, 6, 3), (3, 8, 6)):
        np.savez(tmp_path / "set.npz", image=np.ones((4, *shape), "f4"), label=label)
        command = ["check-metrics", str(tmp_path / "zoo"), "--data", f"npz:{tmp_path / 'set.npz'}"]
        assert main(command) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"image": np.zeros((3, 63), "f4"), "label": np.zeros(3, int)}, "do not fit"),
        ({"image": np.zeros((3, 64), "f4"), "label": np.zeros(2, int)}, "do not fit"),
        ({"image": np.zeros((3, 64), "u1"), "label": np.zeros(3, int)}, "as the networks saw them"),
        ({"image": np.zeros((3, 64), "f4"), "label": np.full(3, 5)}, "labels 0..4"),
        ({"image": np.full((3, 64), np.nan, "f4"), "label": np.zeros(3, int)}, "must be finite"),
        ({"image": np.full((3, 64), 1e300), "label": np.zeros(3, int)}, "must be finite"),
        ({"image": np.zeros((3, 64), "f4")}, "label"),
    ],
)
def test_arrays_that_will_not_do_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], words: str
) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(UserError, match=words):
        read_test_set(f"npz:{tmp_path / 'set.npz'}", shorthand.parse("mlp:64,8,5").network)


def test_files_and_networks_that_will_not_do_are_refused(tmp_path: Path) -> None:
    network = shorthand.parse("mlp:64,8,5").network
    with pytest.raises(UserError, match="give npz:FILE"):
        read_test_set("digits", network)
    with pytest.raises(UserError, match="no such file"):
        read_test_set(f"npz:{tmp_path / 'none.npz'}", network)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(UserError, match="cannot be read as npz"):
        read_test_set(f"npz:{tmp_path / 'bad.npz'}", network)
    with pytest.raises(UserError, match="a return cannot be computed"):
        read_test_set("npz:x", shorthand.parse("policy:4,3,3,1").network)
