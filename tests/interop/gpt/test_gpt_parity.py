"""Our G.pt computes what the reference does: predictions, losses, every gradient, a whole chain."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mole_jax.interop.gpt import gpt_parity
from tests.interop.conftest import CASES

# Between them all four ways to cut tokens, deeper encoders and decoders, noise and x0, both
# variances, with and without metrics as tokens, and chains of 50, 100 and 1000 steps. All are what
# its authors' code (commit fd07225) gave, with random weights.
REFERENCE = (
    "mlp_chunk",
    "policy_layerwise",
    "chain",
    "chunk_decoder",
    "chunk_within_input_noise",
    "layerwise_noise_small",
)


@pytest.mark.parametrize("name", REFERENCE)
def test_a_case_of_the_reference(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpt_parity.main([str(CASES / f"{name}.npz")]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = {line.split()[0]: float(line.split()[1]) for line in lines[1:-1]}
    with np.load(CASES / f"{name}.npz") as case:
        assert set(shown) == {k for k in case.files if k.startswith(("out/", "grad/"))}
    assert max(shown.values()) < 2e-5  # what is allowed is more
    assert lines[-1].startswith("largest relative error")


def changed(folder: Path, settings: dict[str, Any], change: Callable[[dict], Any]) -> str:
    """A copy of a case with other settings, and other arrays."""
    path = folder / "case.npz"
    with np.load(CASES / "mlp_chunk.npz") as case:
        arrays = dict(case)
    change(arrays)
    np.savez(path, **arrays)
    whole = json.loads((CASES / "mlp_chunk.json").read_text()) | settings
    path.with_suffix(".json").write_text(json.dumps(whole))
    return str(path)


def test_one_wrong_number_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays["out/pred"][2, 3] += 0.02
        for name in list(arrays):  # so that no gradient need be compiled a second time
            if name.startswith("grad/"):
                del arrays[name]

    assert gpt_parity.main([changed(tmp_path, {}, change)]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if "FAIL" in line]
    assert len(failed) == 1 and "out/pred" in failed[0]


def less(name: str) -> Callable[[dict], Any]:
    return lambda arrays: arrays.pop(name)


@pytest.mark.parametrize(
    ("settings", "change", "message"),
    [
        ({}, less("in/t"), "in/t is missing"),
        ({}, less("state/decoder.ln_f.bias"), "the model has no decoder.ln_f.bias"),
        ({}, lambda a: a.update({"state/more": np.ones(2)}), "do not imply, more"),
        ({}, lambda a: a["in/t"].fill(1000), "in/t must be steps in 0..999"),
        ({}, lambda a: a["in/x0"].fill(np.nan), "in/x0 holds NaN"),
        (
            {},
            lambda a: a.update({"out/pred": np.ones(3)}),
            "out/pred is float64 [3], expected float [5, 565]",
        ),
        ({}, lambda a: a.update({"in/noise": np.ones((5, 2))}), "in/noise has shape"),
        ({"n_embd": 31}, lambda a: None, "n_embd=31 must be a multiple of n_head=4"),
        ({"n_head": "4"}, lambda a: None, "n_head='4' must be of type int"),
        ({"split_policy": "words"}, lambda a: None, "split_policy='words' is unknown"),
        ({"chunk_size": 50}, lambda a: None, "input_splits states 30 tokens"),
        ({"n_params": 7}, lambda a: None, "n_params=7"),
        ({"predict_xstart": False}, lambda a: None, "contradict"),
        ({"diffusion": {"predict": ["x0"]}}, lambda a: None, "diffusion.predict=['x0']"),
        ({"diffusion": {"steps": 10**10}}, lambda a: None, "diffusion.steps are more than"),
        ({"parameter_sizes": [10**12] * 4}, lambda a: None, "parameters are more than"),
        (
            {"parameter_sizes": [10**8] * 4, "chunk_size": 1},
            lambda a: None,
            "400000000 tokens are more than",
        ),
        (
            {},
            lambda a: a["state/scalar_embedder.frequencies"].fill(np.nan),
            "frequencies has NaN",
        ),
        ({"n_layer": 3, "n_params": None}, lambda a: None, "has no decoder.blocks.2"),
    ],
)
def test_a_case_that_contradicts_itself(
    settings: dict[str, Any],
    change: Callable[[dict], Any],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = changed(tmp_path, settings, change)
    assert gpt_parity.main([path]) == 2
    told = capsys.readouterr().err
    assert message in told and told.startswith("error: ") and told.count("\n") == 1


def test_files_that_are_no_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (CASES / "mlp_chunk.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    shutil.copy(CASES / "mlp_chunk.npz", tmp_path / "alone.npz")
    for name, message in {
        "nowhere.npz": "is missing",
        "half.npz": "cannot be read as .npz",
        "text.npz": "cannot be read as .npz",
        "alone.npz": "alone.json is missing",
    }.items():
        assert gpt_parity.main([str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err
    shutil.copy(CASES / "mlp_chunk.npz", tmp_path / "deep.npz")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    # The case after it is compared nevertheless.
    case = str(CASES / "mlp_chunk.npz")
    assert gpt_parity.main([str(tmp_path / "deep.npz"), case]) == 2
    told = capsys.readouterr()
    assert "deep.json is not a JSON file" in told.err and f"{case}\n" in told.out


def test_other_files_beside_cases_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "images.npz"
    np.savez(other, image=np.ones((2, 4), np.float32))
    assert gpt_parity.main([str(CASES / "mlp_chunk.npz"), str(other)]) == 0
    assert f"{other} is not a case" in capsys.readouterr().err
    assert gpt_parity.main([str(other)]) == 2
    assert "none of these files is a case" in capsys.readouterr().err
