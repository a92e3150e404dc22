"""Which learner writes the networks, and what it is asked for."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

import mole_jax
from mole_jax import predict as command
from mole_jax.interop.network_files import load_network
from tests import tiny, untrained


@pytest.fixture(scope="module")
def aspiring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workdir whose model may be asked for its best; there is no zoo that would say a loss."""
    folder = tmp_path_factory.mktemp("aspiring")
    untrained.write(folder, tiny.tiny_config(training__best_prompts=0.3), (8, 8, 1), 3)
    return folder


def test_a_model_that_learned_it_is_asked_for_its_best(
    aspiring: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [str(aspiring), f"--support=npz:{examples / 'support.npz'}", "--steps=2"]
    assert command.main([*base, f"--out={tmp_path / 'net.safetensors'}"]) == 0
    printed = capsys.readouterr()
    assert "asked     as good as the model can" in printed.out
    assert "warning" not in printed.err
    card = load_network(tmp_path / "net.safetensors").card
    assert card["source"]["asked"] == "as good as the model can"
    assert command.main([*base, f"--out={tmp_path / 'other.npz'}", "--target_loss=0.5"]) == 0
    best = load_network(tmp_path / "net.safetensors").params["output"]["kernel"]
    assert not np.allclose(best, np.load(tmp_path / "other.npz")["output/kernel"])


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workdir with the learners that write in one pass; there is no zoo."""
    folder = tmp_path_factory.mktemp("rivals")
    config = tiny.tiny_config(
        training__best_prompts=0.3, training__regression_steps=3, training__end_to_end_steps=5
    )
    untrained.write(folder, config, (8, 8, 1), 3, ("regression", "end_to_end"))
    return folder


@pytest.mark.parametrize("objective", ["regression", "end_to_end"])
def test_every_learner_that_was_trained_may_be_asked(
    objective: str, rivals: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [str(rivals), f"--support=npz:{examples / 'support.npz'}", f"--objective={objective}"]
    assert command.main([*base, f"--out={tmp_path / 'net.safetensors'}", "--seed=4"]) == 0
    page = capsys.readouterr().out
    assert f"model     {objective}, one pass, seed 4" in page
    assert "asked     as good as the model can" in page
    source = load_network(tmp_path / "net.safetensors").card["source"]
    assert [source[name] for name in ("objective", "sampler", "steps")] == [objective, None, 1]
    # What it writes is what the same learner writes in Python.
    stored = np.load(examples / "support.npz")
    model = mole_jax.load(rivals, objective=objective)
    nets = model.predict(stored["image"], stored["label"], key=jax.random.key(4))
    found = load_network(tmp_path / "net.safetensors").params["output"]["kernel"]
    np.testing.assert_array_equal(nets.params["output"]["kernel"][0], found)
    assert f"({objective}, " in repr(model) and "in one pass" in repr(model)

    for flag in ("--steps=3", "--sampler=heun"):
        assert command.main([*base, f"--out={tmp_path / 'other.npz'}", flag]) == 2
        assert "in one pass: leave --sampler and --steps out" in capsys.readouterr().err
    assert not (tmp_path / "other.npz").exists()


def test_a_model_that_looks_at_no_target_refuses_one(
    rivals: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [str(rivals), f"--support=npz:{examples / 'support.npz'}", "--objective=end_to_end"]
    assert command.main([*base, f"--out={tmp_path / 'net.npz'}", "--target_loss=0.1"]) == 2
    assert "the end_to_end model takes no target" in capsys.readouterr().err
