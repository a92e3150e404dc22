"""What is refused: in one line, before anything is written."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.tasks.networks import Network, torch_layout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["-n=0"], "-n 0: ask for 1 network or more"),
        (["--seed=-1"], r"--seed=-1 must be a whole number in 0..4294967295"),
        (["--seed=4294967296"], r"--seed=4294967296 must be a whole number in 0..4294967295"),
        (["--out={T}/net.pt"], r"net.pt must end in .safetensors, .onnx or .npz"),
        (["--out={T}/net"], r"net must end in"),
        (["--out={E}/support.npz/net.npz"], "support.npz is a file, not a folder"),
        (["--out={T}/made.npz"], "made.npz is a folder"),
        (["--out={E}/support.npz"], "support.npz would be overwritten, but it is also read"),
        (["--out={E}/test.npz", "--test=npz:{E}/test.npz"], "test.npz would be overwritten"),
        (["--out={E}/a.npz", "-n=2", "--start={E}/a-1.npz"], "a-1.npz would be overwritten"),
        (["--support=npz:{E}/nowhere.npz"], "--support: .*nowhere.npz: no such file"),
        (["--support=npz:{E}/no_image.npz"], "--support: .*no array 'image'"),
        (["--support=nothing"], "--support: .*'nothing' is unknown"),
        (["--support=npz:{E}/four.npz"], "it has 4 classes, but the networks have 3"),
        (["--support=npz:{E}/small.npz"], "images are 7 x 8 x 1, but the networks take 8 x 8 x 1"),
        (["--support=npz:{E}/all_test.npz"], "marks all of its images as test images"),
        (["--test=npz:{E}/four.npz"], "--test=.* it has 4 classes"),
        (["--test=npz:{E}/nowhere.npz"], "--test: .*no such file"),
        (["--target_loss=-1"], "target_loss=-1.0"),
        (["--target_loss=nan"], "target_loss=nan"),
        (["--target_return=3"], "target_return is for policies"),
        (["--target_return=3", "--target_loss=1"], "give only one of"),
        (["--start={E}/nowhere.safetensors"], "no file .*nowhere.safetensors"),
        (["--start={E}/nowhere.npz"], "no file .*nowhere.npz"),
        (["--start={E}/support.npz"], "support.npz: start: label must be floating-point numbers"),
        (["--start={T}/net.pt"], "net.pt must end in"),
        (["--start={T}/text.npz"], "text.npz cannot be read as npz"),
        (["--start={T}/array.npz"], "is one array"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(
    changes: list[str],
    message: str,
    refused: Callable[..., str],
    quick: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    (tmp_path / "made.npz").mkdir()
    (tmp_path / "text.npz").write_text("<html>")
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    (tmp_path / "net.safetensors").write_text("of before")
    assert re.search(message, refused(*changes))


def test_what_loading_refuses_is_said(refused: Callable[..., str]) -> None:
    assert "there is no folder" in refused("{T}/nowhere")
    assert "no checkpoint 3; there are" in refused("--checkpoint=3")
    assert "sampling.name='euler' is unknown" in refused("--sampler=euler")
    assert "sampling.steps=0" in refused("--steps=0")
    assert "at most 100,000 networks" in refused("-n=9999999")
    lacking = refused("--objective=regression")
    assert "no regression model was trained" in lacking
    assert "; there are ['diffusion']" in lacking
    assert "objective='reptiles' is unknown" in refused("--objective=reptiles")
    assert "did you mean 'end_to_end'?" in refused("--objective=end-to-end")


def test_without_a_zoo_the_loss_has_to_be_given(
    workdir: Path, refused: Callable[..., str], quick: list[dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "imported"
    (folder / "train").mkdir(parents=True)
    network = (workdir / "train" / "network.json").read_bytes()
    (folder / "train" / "network.json").write_bytes(network)
    assert "--target_loss is missing" in refused(str(folder))


def test_a_disk_that_refuses_is_said(
    refused: Callable[..., str], quick: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_npz", full)
    assert "cannot be written (No space left on device)" in refused("--out={T}/net.npz")


def test_networks_without_a_layout_in_pytorch_are_refused_before_they_are_predicted(
    refused: Callable[..., str], quick: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_layout(network: Network) -> NoReturn:
        raise UserError("a vit has no PyTorch layout here")

    monkeypatch.setattr(torch_layout, "layout", no_layout)
    assert "no PyTorch layout here; name a file that ends in .npz with --out" in refused()


def test_the_process_refuses_without_traceback_and_without_starting_jax(tmp_path: Path) -> None:
    code = (
        "import sys; from mole_jax.predict import main;"
        "code = main(['w', '--support=digits', '--out=net.pt']);"
        "assert 'jax' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: --out=net.pt must end in .safetensors, .onnx or .npz\n"
