"""`python -m mole_jax.zoo`: what it prints and how it exits."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mole_jax.zoo.__main__ import main
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter

Stored = tuple[Path, RunBatch]


def test_info_says_what_is_there(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    path, batch = stored
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    finals = batch.metrics["train_loss"][np.array(batch.split) == "S1", -1]
    for words in (
        "3: 1 S1, 2 train",
        "19: ",
        f"{batch.split.count('S0')} S0",
        "3 a run, at steps 0 10 40",
        "D = 18 (float32)",
        "output/kernel [5, 3]",
        "0 not finite",
        f"{finals.min():.4g} / {np.median(finals):.4g} / {finals.max():.4g}",
        "learning rate",
        "cores: 2",
        "8 runs a file, 2 a chunk",
    ):
        assert words in printed


def test_info_of_an_empty_zoo_and_of_one_with_nothing_finite(
    tmp_path: Path,
    make_schema: Callable[..., ZooSchema],
    make_batch: Callable[..., RunBatch],
    capsys: pytest.CaptureFixture[str],
) -> None:
    writer = ZooWriter.create(tmp_path, make_schema())
    assert main(["info", str(tmp_path)]) == 0
    assert "0: none" in capsys.readouterr().out
    writer.append(dataclasses.replace(make_batch(4), finite=np.zeros(4, bool)))
    assert main(["info", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "4 not finite" in printed
    assert "no finite runs" in printed


def test_verify_exits_with_0_or_1(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = stored
    assert main(["verify", str(path)]) == 0
    assert "no problems" in capsys.readouterr().out
    (path / "parameters/c/0/0/0").unlink()
    (path / "runs/seed/c/1").unlink()
    assert main(["verify", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert any("parameters, runs 0..7 (parameters/c/0/0/0)" in line for line in lines)


@pytest.mark.parametrize("command", ["info", "verify"])
def test_what_is_no_zoo_exits_with_2(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: no zoo at")


@pytest.mark.parametrize(
    "arguments", [[], ["check", "x"], ["info"], ["verify", "a", "b"], ["grow", "a"]]
)
def test_wrong_use_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in ("info", "verify", "grow", "import-gpt"))


def test_the_command_runs_without_jax(stored: Stored) -> None:
    code = (
        "import sys; sys.modules['jax'] = None; sys.argv = ['zoo', 'verify', sys.argv[1]]; "
        "import runpy; runpy.run_module('mole_jax.zoo', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(stored[0])], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "no problems" in done.stdout
