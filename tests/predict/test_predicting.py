"""The command `python -m mole_jax.predict`: from files to files, and a table between."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import mole_jax
from mole_jax import predict as command
from mole_jax.evaluation.harness.statistics import calibration_error
from mole_jax.interop.__main__ import main as interop
from mole_jax.interop.network_files import load_network
from mole_jax.sampling.load import Model, Networks
from tests import tiny, untrained


def test_networks_are_predicted_written_and_measured(
    ask: Callable[..., str], quick: list[dict[str, Any]], examples: Path, tmp_path: Path
) -> None:
    marked = f"npz:{examples / 'marked.npz'}"
    page = ask("-n", "3", "--steps=2", f"--test={marked}", "--target_loss=0.3")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"net-{i}.{kind}" for i in range(3) for kind in ("safetensors", "json")
    }
    rows = [line.split() for line in page.splitlines() if ".safetensors" in line]
    assert "support   9 images of 3 classes" in page
    assert f"test      18 images of {marked}" in page
    assert "asked     validation loss 0.3, as given" in page
    assert "inputs    pixel * 0.25 - 2" in page
    assert "model     diffusion, 2 steps of ddim, seed 0" in page

    # Anybody who reads a file and its card gets the accuracy that was printed.
    stored = np.load(examples / "marked.npz")
    x, y = (stored[name][stored["test"]] for name in ("image", "label"))
    probabilities = []
    for i, row in enumerate(rows):
        found = load_network(tmp_path / f"net-{i}.safetensors")
        task, metrics = found.card["task"], found.card["metrics"]
        inputs = x.reshape(len(x), -1) * task["scale"] + task["shift"]
        logits = np.asarray(found.network.apply(found.params, inputs.astype(np.float32)))
        accuracy = (logits.argmax(-1) == y).mean()
        assert metrics["test_accuracy"] == pytest.approx(accuracy)
        assert row[1:] == [
            f"{metrics['support_loss']:.4f}",
            f"{metrics['test_loss']:.4f}",
            f"{100 * accuracy:.1f}",
            "%",
        ]
        assert found.card["source"]["asked"] == "validation loss 0.3, as given"
        probabilities.append(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    shares = np.mean(probabilities, axis=0)
    together = 100 * (shares.argmax(-1) == y).mean()
    assert re.search(rf"^all, probabilities averaged +{together:.1f} %$", page, re.MULTILINE)
    missed = calibration_error(shares.max(-1), shares.argmax(-1) == y)
    assert f"expected calibration error of the average: {100 * missed:.1f} points" in page
    accuracies = [float(row[3]) for row in rows]
    assert re.search(rf"^mean .* {np.mean(accuracies):.1f} %$", page, re.MULTILINE)


def test_what_is_asked_for_by_default_is_what_the_best_tenth_of_the_zoo_reaches(
    ask: Callable[..., str], quick: list[dict[str, Any]], workdir: Path, tmp_path: Path
) -> None:
    page = ask()
    assert "asked     validation loss 0.2: the best 10% of the zoo's 11 training runs" in page
    assert quick == [{"workdir": workdir, "objective": None, "checkpoint": "last"}]
    assert "mean" not in page
    # One network has no number; both forms of a file hold the same one; a folder is made.
    ask(out="new/net.npz")
    same = load_network(tmp_path / "net.safetensors").params["output"]["kernel"]
    np.testing.assert_array_equal(np.load(tmp_path / "new" / "net.npz")["output/kernel"], same)


def test_flags_reach_the_sampler_and_the_key(
    ask: Callable[..., str],
    quick: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask("--checkpoint=7", "--sampler=heun", "--steps=3", out="0.npz")
    assert quick[-1] | {"workdir": 0} == {
        "workdir": 0,
        "objective": None,
        "checkpoint": 7,
        "name": "heun",
        "steps": 3,
    }
    monkeypatch.setenv("HOME", str(tmp_path))
    ask("--seed=1", "--out=~/1.npz")  # which the shell leaves to us
    ask("--target_loss=1.5", out="2.npz")
    ask("--polish=2", out="3.npz")
    found = [np.load(tmp_path / f"{i}.npz")["output/kernel"] for i in range(4)]
    for other in found[1:]:
        assert not np.allclose(found[0], other)


def test_an_onnx_file_takes_pixels_as_they_come(
    ask: Callable[..., str], quick: list[dict[str, Any]], examples: Path, tmp_path: Path
) -> None:
    page = ask("-n", "2", "--target_loss=0.3", out="net.onnx")
    ask("-n", "2", "--target_loss=0.3")
    assert {path.name for path in tmp_path.glob("*.onnx")} == {"net-0.onnx", "net-1.onnx"}
    images = np.load(examples / "support.npz")["image"].astype(np.float32)
    for i in range(2):
        session = onnxruntime.InferenceSession(tmp_path / f"net-{i}.onnx")
        logits, shares = session.run(None, {"images": images.reshape(-1, 8, 8, 1)})
        same = load_network(tmp_path / f"net-{i}.safetensors")
        task = same.card["task"]
        inputs = images.reshape(len(images), -1) * task["scale"] + task["shift"]
        expected = same.network.apply(same.params, inputs.astype(np.float32))
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
        kept = session.get_modelmeta().custom_metadata_map
        assert json.loads(kept["metrics"]) == same.card["metrics"]
        assert "scale" not in json.loads(kept["task"])
    assert "inputs    float32 [n, 8, 8, 1], as they come" in page


def test_a_model_file_stands_in_for_a_workdir_and_is_not_written_over(
    ask: Callable[..., str], workdir: Path, examples: Path, tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    assert interop(["export-model", str(workdir), f"--out={file}", "--checkpoint=last"]) == 0
    asked = [f"--support=npz:{examples / 'support.npz'}", "--target_loss=0.3", "--steps=1"]
    ask("--target_loss=0.3", "--steps=1", out="whole.npz")
    assert command.main([str(file), *asked, f"--out={tmp_path / 'small.npz'}"]) == 0
    whole, small = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("whole", "small"))
    assert tiny.equal_trees(whole, small)
    before = file.read_bytes()
    assert command.main([str(file), *asked, f"--out={file}"]) == 2
    assert file.read_bytes() == before
    assert command.main([str(file), *asked, f"--out={tmp_path / 'net.safetensors'}"]) == 0
    source = load_network(tmp_path / "net.safetensors").card["source"]
    assert source["model"]["checkpoint"] == "last" and "checkpoint" not in source


def test_marked_images_are_kept_out_of_the_support_set(
    ask: Callable[..., str], quick: list[dict[str, Any]], examples: Path
) -> None:
    page = ask(f"--test=npz:{examples / 'support.npz'}", support="marked")
    assert "support   9 images" in page
    assert "test      9 images" in page  # none of that file is marked: it is all test


def test_a_start_may_be_any_file_of_a_network(
    ask: Callable[..., str], quick: list[dict[str, Any]], workdir: Path, tmp_path: Path
) -> None:
    """What export-network, import-network and this command write, in both forms."""
    exported, imported = (str(tmp_path / name) for name in ("run.safetensors", "run.npz"))
    assert interop(["export-network", str(workdir / "zoo"), "--run=0", f"--out={exported}"]) == 0
    assert interop(["import-network", exported, f"--out={imported}"]) == 0
    for i, start in enumerate((exported, imported)):
        ask(f"--start={start}", out=f"{i}.npz")
    ask(out="fresh.npz")
    one, two, fresh = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("0", "1", "fresh"))
    assert tiny.equal_trees(one, two)
    assert not np.allclose(one["output/kernel"], fresh["output/kernel"])


def test_policies_come_from_transitions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(model: Model, x: np.ndarray, y: None, *, n: int, **asked: Any) -> Networks:
        np.testing.assert_array_equal(x, transitions)
        assert (asked["target_loss"], asked["target_return"]) == (None, 100)
        network = model.learner.network
        flat = np.zeros((n, network.spec.size), np.float32)
        described = json.dumps(model.description)
        return Networks(network.spec.unflatten(flat), None, described, model.inputs)

    monkeypatch.setattr(Model, "predict", predict)  # what it does has tests of its own
    config = tiny.tiny_config(
        data__source="env:cartpole",
        network__name="gaussian_policy",
        network__hidden=(3,),
        metamodel__pairwise=False,
        training__permute_labels=0.0,
        training__permute_units=False,
    )
    network = untrained.write(tmp_path / "work", config, (4,), 1)
    policies = mole_jax.load(tmp_path / "work", steps=1)
    monkeypatch.setattr(mole_jax, "load", lambda *_, **__: policies)
    transitions = np.random.default_rng(0).normal(size=(6, network.example_size))
    np.savez(tmp_path / "seen.npz", transitions=transitions)
    np.savez(tmp_path / "other.npz", observations=transitions)
    base = [str(tmp_path / "work"), f"--out={tmp_path / 'policy.safetensors'}"]
    seen = f"--support=npz:{tmp_path / 'seen.npz'}"
    assert command.main([*base, seen, "--target_return=100", "-n", "2"]) == 0
    page = capsys.readouterr().out
    assert "support   6 transitions" in page
    assert "asked     return 100, as given" in page
    assert load_network(tmp_path / "policy-1.safetensors").network.name == "gaussian_policy"
    for arguments, message in (
        ([f"--support=npz:{tmp_path / 'other.npz'}"], "it has observations; a policy's support"),
        (["--support=digits"], "an array transitions [m, O + A + O]"),
        ([seen, "--test=digits"], "--test is for images"),
    ):
        assert command.main([*base, *arguments, "--target_return=100"]) == 2
        assert message in capsys.readouterr().err


def test_help_fits_the_terminal_and_names_every_flag(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 100
    for flag in ("--support", "--test", "--target_loss", "--start", "--checkpoint", "--sampler"):
        assert flag in page
