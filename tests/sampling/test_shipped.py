"""The models that come with MOLE: whole, small, found by name, and as good as their cards say."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
import pytest
from sklearn.base import clone

import mole_jax
from benchmarks import machine, shipped_models
from mole_jax import OnePassClassifier, UserError
from mole_jax import predict as command
from mole_jax.sampling import shipped
from tests import tiny

RESULTS = machine.RESULTS / "shipped_models.json"
DRAWS = 3


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Any:
    with tiny.quick_compilation():
        yield


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections: nothing is ever downloaded."""

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("name", shipped.NAMES)
def test_a_card_is_of_its_file(name: str) -> None:
    card = shipped.card(name).read_text()
    assert hashlib.sha256(shipped.file(name).read_bytes()).hexdigest() in card
    assert f"# {name}\n" in card and "--config=configs/glyphs_cnn.py:" in card
    assert shipped_models.figures(name, json.loads(RESULTS.read_text())["rows"]) in card


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in shipped.FOLDER.iterdir() if path.is_file()) < 8e6
    assert {path.stem for path in shipped.FOLDER.glob("*.safetensors")} == set(shipped.NAMES)


@pytest.mark.parametrize("name", shipped.NAMES)
def test_each_is_loaded_by_its_name(name: str, no_network: None) -> None:
    model, side = mole_jax.load(name), int(name.rpartition("-")[2])
    assert model.inputs.shape == (side, side, 1) and model.sizes == range(2, 11)
    assert model.objective == "end_to_end"


def test_a_name_is_not_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glyphs-8").mkdir()
    assert mole_jax.load("glyphs-8").about
    for given in ("./glyphs-8", Path("glyphs-8")):
        with pytest.raises(UserError, match=r"glyphs-8 is not a workdir"):
            mole_jax.load(given)
    with pytest.raises(UserError, match="did you mean glyphs-8\\?"):
        mole_jax.load("glyph8")
    with pytest.raises(UserError, match="or one of glyphs-8, glyphs-28"):
        mole_jax.load("nowhere")


def test_figures_on_digits_are_those_of_the_card(no_network: None) -> None:
    """The first draws of ten examples of all ten digits, of which training had none."""
    data = shipped_models.digits()
    rows = json.loads(RESULTS.read_text())["rows"]["digits, 10 classes"]["10"]["accuracy"]
    stored = rows[f"glyphs-8, mean of {shipped_models.NETWORKS}"][:DRAWS]
    tasks = shipped_models.draws(data, None, 10, DRAWS)
    found = [
        shipped_models.of_model("glyphs-8", shipped_models.NETWORKS, task, images=True)[0]
        for task in tasks
    ]
    np.testing.assert_allclose(found, stored, atol=0.01)  # rounding differs between machines
    assert np.mean(found) > 0.9


def test_the_estimator_takes_one_unless_told(no_network: None) -> None:
    task = next(shipped_models.draws(shipped_models.digits(), 3, 5, 1))
    names = np.array(["two", "three", "four"])[task.shown[1]]
    classifier = clone(OnePassClassifier(n_networks=2, random_state=0)).fit(task.shown[0], names)
    right = np.array(["two", "three", "four"])[task.tested[1]]
    assert classifier.score(task.tested[0], right) > 0.8


def test_images_of_another_size(tmp_path: Path, capsys: Any) -> None:
    task = next(shipped_models.draws(shipped_models.digits(), 3, 5, 1))
    large = task.shown[0].reshape(-1, 8, 8).repeat(2, axis=1).repeat(2, axis=2)
    with pytest.raises(ValueError, match=r"256 columns, .* 64 pixels: resize=True"):
        OnePassClassifier().fit(large.reshape(len(large), -1), task.shown[1])
    found = OnePassClassifier(n_networks=2, resize=True, random_state=0)
    found.fit(large.reshape(len(large), -1), task.shown[1])
    others = task.tested[0].reshape(-1, 8, 8).repeat(2, axis=1).repeat(2, axis=2)
    assert found.score(others.reshape(len(others), -1), task.tested[1]) > 0.8

    file = str(tmp_path / "mine.npz")
    np.savez(file, image=large.astype(np.float32), label=task.shown[1])
    asked = ["glyphs-8", f"--support={file}", f"--test={file}"]
    assert command.main(asked) == 2
    assert "are 16 x 16 x 1, but the networks take 8 x 8 x 1: add --resize" in (
        capsys.readouterr().err
    )
    out = tmp_path / "net.safetensors"
    assert command.main([*asked, "--resize", "-n2"]) == 0
    printed = capsys.readouterr().out
    assert "resized from 16x16x1" in printed and "nothing was written" in printed
    assert command.main([*asked, "--resize", f"--out={out}"]) == 0
    assert json.loads(out.with_suffix(".json").read_text())["task"]["resized_from"] == [16, 16, 1]


def test_images_in_colour_are_refused_with_what_to_do(tmp_path: Path, capsys: Any) -> None:
    file = str(tmp_path / "colour.npz")
    np.savez(file, image=np.zeros((4, 8, 8, 3), np.uint8), label=np.arange(4) % 2)
    assert command.main(["glyphs-8", f"--support={file}", "--resize"]) == 2
    assert "in colour, but networks take grey ones: x.mean(-1)" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"in colour, .* grey ones: x\.mean\(-1\)"):
        mole_jax.load("glyphs-8").predict(
            np.zeros((4, 8, 8, 3)), [0, 1, 0, 1], key=jax.random.key(0)
        )
    with pytest.raises(UserError, match=r"model\.resized\(x\) makes images of another size fit"):
        mole_jax.load("glyphs-8").predict(np.zeros((4, 9, 9)), [0, 1, 0, 1], key=jax.random.key(0))


def test_one_start_gives_one_network_and_that_is_said() -> None:
    model, task = (
        mole_jax.load("glyphs-8"),
        next(shipped_models.draws(shipped_models.digits(), 3, 5, 1)),
    )
    one = model.predict(*task.shown, key=jax.random.key(0))
    with pytest.warns(mole_jax.MoleWarning, match="all 2 networks are the same: one start"):
        model.predict(*task.shown, n=2, start=one, key=jax.random.key(0))


def test_a_single_class_is_refused() -> None:
    x = shipped_models.digits().shown[0][:3]
    with pytest.raises(UserError, match="it has class 7 only: give examples of two"):
        mole_jax.load("glyphs-8").predict(x, [7, 7, 7], key=jax.random.key(0))


def test_a_wrong_scale_is_said_once() -> None:
    task = next(shipped_models.draws(shipped_models.digits(), 3, 5, 1))
    with pytest.warns(mole_jax.MoleWarning, match="255 times smaller"):
        fitted = OnePassClassifier(n_networks=1).fit(task.shown[0] / 255, task.shown[1])
    with pytest.warns(mole_jax.MoleWarning) as said:
        fitted.predict(np.tile(task.tested[0], (3, 1)) / 255)
    assert len(said) == 1 and "255 times smaller" in str(said[0].message)


def test_labels_of_a_test_set_are_not_numbered_by_themselves(tmp_path: Path, capsys: Any) -> None:
    task = next(shipped_models.draws(shipped_models.digits(), 3, 5, 1))
    for name, rows in (("all", task.shown[1] >= 0), ("gap", task.shown[1] > 0)):
        image = task.shown[0][rows].reshape(-1, 8, 8)
        np.savez(tmp_path / f"{name}.npz", image=image, label=task.shown[1][rows])
    asked = ["glyphs-8", f"--support={tmp_path}/all.npz", f"--test={tmp_path}/gap.npz"]
    assert command.main(asked) == 2
    said = capsys.readouterr().err
    assert "number them as in --support" in said and "np.unique" not in said
