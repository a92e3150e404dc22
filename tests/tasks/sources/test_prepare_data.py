"""launch/prepare_data.py prepares a data set once, and says what keeps it from doing so."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds

from mole_jax.core.errors import UserError
from mole_jax.tasks import sources
from tests.tasks.sources import made_up

SCRIPT = Path(__file__).parents[3] / "launch" / "prepare_data.py"
FEATURES = made_up.features(tfds.features.Tensor(shape=(5, 4, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare_data", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A data set that TFDS knows and that is not prepared."""
    made = made_up.builder_class("shapes", FEATURES, {"train": made_up.examples(6)})
    monkeypatch.setattr(tfds, "builder", lambda name, **options: made(**options))
    names = ["shapes"]
    monkeypatch.setattr(tfds, "list_builders", lambda with_community_datasets: names)
    return made


def test_help_is_a_page(tmp_path: Path) -> None:
    # From another folder, and with nothing installed but what the programs need.
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "python launch/prepare_data.py NAME [--data_dir=DIR]" in ran.stdout
    assert "requirements-prepare.txt" in ran.stdout


def test_what_it_prepares_is_read(script: ModuleType, shapes: Any, tmp_path: Path) -> None:
    folder = script.prepare("shapes", tmp_path)
    assert list(folder.glob("*array_record*"))
    assert len(sources.load(f"tfds:shapes@{tmp_path}").images) == 6


def test_what_is_there_is_not_prepared_again(
    script: ModuleType,
    shapes: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script.prepare("shapes", tmp_path)
    monkeypatch.setattr(script, "prepare", lambda name, folder: pytest.fail("prepared again"))
    capsys.readouterr()
    assert script.main(["shapes", f"--data_dir={tmp_path}"]) == 0
    expected = f"use it with --config.data.source=tfds:shapes@{tmp_path}\n"
    assert capsys.readouterr().out.endswith(expected)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert script.run(["shapes"]).endswith("use it with --config.data.source=tfds:shapes")


def test_a_missing_tensorflow_says_the_command(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as if it were not installed
    assert script.main(["svhn", f"--data_dir={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: TensorFlow is missing")
    assert said.endswith("-m pip install -r requirements-prepare.txt\n")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (requests.ConnectionError("Max retries exceeded"), "could not be downloaded .*Max retries"),
        (OSError("No space left on device"), "could not be prepared in .*No space left"),
        (
            AssertionError("Manual data\nis needed"),
            "could not be prepared in .*Manual data is need",
        ),
    ],
)
def test_a_failing_download_is_one_line(
    script: ModuleType,
    shapes: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    problem: Exception,
    message: str,
) -> None:
    def fail(self: Any, dl_manager: Any) -> None:
        raise problem

    monkeypatch.setattr(shapes, "_split_generators", fail)
    with pytest.raises(UserError, match=message) as caught:
        script.prepare("shapes", tmp_path)
    assert "\n" not in str(caught.value)
    # What was begun is not taken for the data set.
    with pytest.raises(UserError, match="is not prepared"):
        sources.load(f"tfds:shapes@{tmp_path}")


def test_what_has_no_labelled_images_is_refused_before_the_download(
    script: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no images with one label each"):
        script.prepare("imdb_reviews", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["emnist/nothing", "mnist:9.9.9"])
def test_a_config_or_version_that_does_not_exist_is_refused(
    script: ModuleType, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UserError, match=f"TFDS cannot make {name}") as caught:
        script.prepare(name, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "NAME is missing"),
        (["mnist", "svhn"], "svhn is unknown"),
        (["mnist", "--data-dir=x"], "--data-dir=x is unknown"),
        (["mnist", "--data_dir"], "expected one argument"),
        (["mnits"], "unknown to TFDS, and not in .*; did you mean 'mnist'"),
    ],
)
def test_wrong_arguments_are_one_line(
    script: ModuleType,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError, match=message):
        script.run(arguments)
