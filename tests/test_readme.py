"""What README and docs/python.md promise, run as it is written."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mole_jax import predict, running
from tests import tiny, untrained

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of code of a page."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return [code for name, code in fenced.findall((ROOT / page).read_text()) if name == language]


def run(page: str, code: str) -> None:
    """Run it with JAX's own settings: tests have stricter ones."""
    with tiny.settings_of_jax(jax_numpy_rank_promotion="allow"):
        exec(compile(code, page, "exec"), {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the repository's after `make demo`: runs/digits is there, and two files."""
    folder = tmp_path_factory.mktemp("checkout")
    config = tiny.tiny_config(**{"data.classes_per_subset": 5, "training.best_prompts": 0.3})
    with tiny.quick_compilation():
        untrained.write(folder / "runs" / "digits", config, (8, 8, 1), 5)
    images, labels = load_digits(return_X_y=True)
    for name, rows in (("mine", slice(0, 60)), ("more", slice(60, 100))):
        np.savez(folder / f"{name}.npz", image=images[rows].reshape(-1, 8, 8), label=labels[rows])
    return folder


@pytest.fixture
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in that folder."""
    monkeypatch.chdir(folder)
    return folder


def test_the_classifier_of_the_readme_has_the_accuracy_that_it_says(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks("README.md", "python")
    run("README.md", code)
    run("README.md", code.replace('"glyphs-8", ', '"glyphs-8", polish=400, '))
    promised = [*re.findall(r"# (0\.\d+);", code), *re.findall(r"polish=400: (0\.\d+)", code)]
    found = [float(line) for line in capsys.readouterr().out.split()]
    assert len(promised) == 2
    assert found == [pytest.approx(float(x), abs=0.004) for x in promised]


def test_the_commands_of_the_readme_do_what_they_say(there: Path) -> None:
    """Those of make are only looked at: they take minutes."""
    shown = [line for block in blocks("README.md", "") for line in block.splitlines()]
    made = [shlex.split(line, comments=True) for line in shown if line.startswith("make ")]
    for command in made:
        planned = subprocess.run(["make", "-n", *command[1:]], cwd=ROOT, capture_output=True)
        assert planned.returncode == 0, planned.stderr
    (command,) = [shlex.split(line) for line in shown if "mole-predict " in line]
    arguments = [x.replace("mine.npz", "npz:mine.npz") for x in command[1:]]
    assert predict.main(arguments) == 0
    assert (there / "net.onnx").exists()


def test_python_of_the_docs_runs(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = blocks("docs/python.md", "python")
    with pytest.warns(Warning):  # the model is not trained, and far from the target
        run("docs/python.md", code)
    accuracy, losses = capsys.readouterr().out.split("\n", 1)
    assert 0 <= float(accuracy) <= 1 and losses.count(".") == 8


def test_experiments_of_the_docs_are_asked_for_as_they_must_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their stages take minutes, and do not run here."""
    _, code = blocks("docs/python.md", "python")
    asked: list[Any] = []

    def noted(config: Any, workdir: str, stages: tuple[str, ...] = ()) -> str:
        asked.append((running._whole(config), workdir, stages))
        return workdir

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(running, "run", noted)
    monkeypatch.setattr("mole_jax.sampling.load.load", lambda workdir: asked.append(workdir))
    run("docs/python.md", "import mole_jax\n" + code)
    (demo, *_), (mine, *_, some), loaded = asked
    assert demo.representation.align and mine.network.hidden == (12,) and mine.seed == 1
    assert some == ("zoo", "train") and loaded == "runs/mine"


def test_the_command_of_the_docs_writes_files_for_pytorch(there: Path) -> None:
    (line,) = [line for block in blocks("docs/python.md", "") for line in block.splitlines()]
    arguments = shlex.split(line)[1:]
    classes = load_digits().target
    images = load_digits().images
    for name, rows in (("mine", slice(0, 400)), ("more", slice(400, 500))):
        mine = np.isin(classes[rows], range(5))
        np.savez(there / f"{name}.npz", image=images[rows][mine], label=classes[rows][mine])
    assert predict.main(arguments) == 0
    assert len(list((there / "nets").glob("*.safetensors"))) == 8
