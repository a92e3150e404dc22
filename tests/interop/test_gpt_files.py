"""A published checkpoint becomes a workdir that predicts what the reference does, and goes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mole_jax
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage import torch_file
from mole_jax.interop import __main__ as command
from mole_jax.interop.gpt import export_gpt, gpt_network, gpt_settings
from mole_jax.interop.gpt.gpt_settings import Settings
from mole_jax.metamodel.process.prompt import Prompt, everything
from mole_jax.sampling.support_loss import quality
from mole_jax.tasks.examples import Examples
from tests.core.storage.test_torch_file import read
from tests.interop.conftest import CASES

FILE, SETTINGS = CASES / "mlp_chunk.pt", CASES / "mlp_chunk.json"


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported") / "workdir"
    arguments = [str(FILE), "--settings", str(SETTINGS), "--out", str(folder), "--scale", "2"]
    assert command.main(["import-gpt-model", *arguments]) == 0
    return folder


def test_it_predicts_what_the_reference_does(imported: Path) -> None:
    """From parameters in our order, at some steps of the diffusion."""
    model = mole_jax.load(imported)
    assert (model.plan.name, model.plan.steps) == ("ancestral_large", 1000)
    with np.load(CASES / "mlp_chunk.npz") as case:
        x = {name.removeprefix("in/"): jnp.asarray(case[name]) for name in case if "in/" in name}
        wanted, noisy = case["out/pred"], jnp.asarray(case["out/x_t"])
    meta, batch = model.learner.model, len(wanted)
    # The reference's vectors are what our codec makes of networks.
    start = meta.representation.parameters(x["x_prev"][:, None])
    tokens = meta.representation.tokens(start)
    np.testing.assert_allclose(tokens[:, 0], x["x_prev"], atol=1e-6)
    nothing = (jnp.zeros((batch, 1, 64)), jnp.zeros((batch, 1), int), jnp.zeros((batch, 1), bool))
    prompt = Prompt(tokens, x["loss_prev"], x["loss_target"], Examples(*nothing), everything(batch))
    found = jax.jit(meta.clean_estimate)(
        model.params, noisy[:, None], meta.process.time(x["t"]), prompt
    )
    assert np.linalg.norm(found[:, 0] - wanted) < 1e-4 * np.linalg.norm(wanted)


def test_networks_are_in_our_layout_and_scaled_back(imported: Path) -> None:
    model = mole_jax.load(imported)
    vector = np.arange(565, dtype=np.float32)  # 64-8-5: weights as [out, in], then biases
    found = model.learner.network.spec.unflatten(
        model.learner.model.representation.parameters(vector[None])
    )
    np.testing.assert_allclose(found["hidden_0"]["kernel"].T, vector[:512].reshape(8, 64) / 2)
    np.testing.assert_allclose(found["hidden_0"]["bias"], vector[512:520] / 2)
    np.testing.assert_allclose(found["output"]["kernel"].T, vector[520:560].reshape(5, 8) / 2)
    np.testing.assert_allclose(found["output"]["bias"], vector[560:] / 2)


@pytest.mark.filterwarnings("ignore:predict. .* was asked for:mole_jax.MoleWarning")
def test_it_predicts_through_the_public_interface(imported: Path) -> None:
    model = mole_jax.load(imported, name="ddim", steps=2)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(10, 64)).astype(np.float32), np.arange(10) % 5
    nets = model.predict(x, y, target_loss=0.5, n=2, key=jax.random.key(0))
    assert nets.apply(x).shape == (2, 10, 5)
    assert np.isfinite(nets.predicted_metric).all()


def test_and_back_again(imported: Path, tmp_path: Path) -> None:
    out = tmp_path / "back.pt"
    assert command.main(["export-gpt-model", str(imported), "--out", str(out)]) == 0
    before, after = read(FILE), read(out)
    for name in ("G", "G_ema"):
        assert set(before[name]) == set(after[name])
        for key, value in before[name].items():
            np.testing.assert_array_equal(after[name][key], value)
    settings = gpt_settings.read(out.with_suffix(".json"))
    given = gpt_settings.read(SETTINGS)
    assert settings.scale == 2
    assert settings.parameter_sizes == given.parameter_sizes
    assert settings.tokens() == given.tokens()
    assert settings.parameter_names == given.parameter_names
    assert settings.variance == given.variance == "fixed_large"


def test_what_the_reference_does_not_know_is_not_exported(imported: Path) -> None:
    model = mole_jax.load(imported)
    for key, value in (("schedule", "flow"), ("prediction", "flow")):
        config = {**model.config, "diffusion": {**model.config["diffusion"], key: value}}
        with pytest.raises(UserError, match=f"diffusion.{key}='.*'flow': it cannot be exported"):
            export_gpt._settings(config, model.learner.network, model.fitted.normaliser, True)


def test_the_variance_comes_back(tmp_path: Path) -> None:
    small = json.loads(SETTINGS.read_text())
    small["diffusion"] = small.get("diffusion", {}) | {"variance": "fixed_small"}
    (tmp_path / "small.json").write_text(json.dumps(small))
    out = tmp_path / "workdir"
    arguments = [str(FILE), "--settings", str(tmp_path / "small.json"), "--out", str(out)]
    assert command.main(["import-gpt-model", *arguments]) == 0
    back = tmp_path / "back.pt"
    assert command.main(["export-gpt-model", str(out), "--out", str(back)]) == 0
    assert gpt_settings.read(back.with_suffix(".json")).variance == "fixed_small"


def test_the_other_weights_can_be_chosen(tmp_path: Path) -> None:
    content = read(FILE)
    content["G"] = {f"_orig_mod.module.{k}": v + 1 for k, v in content["G"].items()}
    torch_file.write(tmp_path / "x.pt", content)
    arguments = [str(tmp_path / "x.pt"), "--settings", str(SETTINGS), "--out", str(tmp_path / "g")]
    assert command.main(["import-gpt-model", *arguments, "--weights", "G"]) == 0
    average = content["G_ema"]["decoder.pos_emb"][0]
    for weights, wanted in ((None, average + 1), ("last", average + 1), ("average", average)):
        params = mole_jax.load(tmp_path / "g", weights=weights).params
        np.testing.assert_array_equal(params["position"], wanted)
    with pytest.raises(UserError, match="weights='ema' must be"):
        mole_jax.load(tmp_path / "g", weights="ema")
    # Both go back to where they came from.
    out = str(tmp_path / "back.pt")
    assert command.main(["export-gpt-model", str(tmp_path / "g"), "--out", out]) == 0
    back = read(Path(out))
    np.testing.assert_array_equal(back["G"]["decoder.pos_emb"][0], average + 1)
    np.testing.assert_array_equal(back["G_ema"]["decoder.pos_emb"][0], average)


def test_a_model_of_the_error_is_told_percent(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(FILE), "--settings", str(SETTINGS), "--out", str(tmp_path / "error")]
    assert command.main(["import-gpt-model", *arguments, "--metric", "test_error"]) == 0
    nats, percent = mole_jax.load(imported), mole_jax.load(tmp_path / "error")
    assert nats.start_loss == pytest.approx(np.log(5)) and percent.start_loss == 80
    rng = np.random.default_rng(0)
    support = percent._support(rng.uniform(size=(10, 64)), np.arange(10) % 5)
    flat = jnp.asarray(rng.normal(size=(2, percent.learner.network.spec.size)), jnp.float32)
    measured = quality(percent.learner.network, flat, support.examples)
    wrong = percent.metric.of_measured(*measured, 1.0)
    np.testing.assert_allclose(wrong / 10, np.round(wrong / 10), atol=1e-5)  # of ten examples
    assert wrong.min() >= 10 and wrong.max() <= 100
    policy = ["--settings", str(CASES / "policy_layerwise.json"), "--out", str(tmp_path / "p")]
    told = refused(capsys, "import-gpt-model", str(FILE), *policy, "--metric", "test_error")
    assert "--metric=test_error is for classifiers" in told


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert command.main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1
    return told


def test_what_does_not_belong_together(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def tell(file: Path, settings: dict[str, Any], *more: str) -> str:
        given = tmp_path / "settings.json"
        given.write_text(json.dumps(json.loads(SETTINGS.read_text()) | settings))
        arguments = [str(file), "--settings", str(given), "--out", str(tmp_path / "out")]
        told = refused(capsys, "import-gpt-model", *arguments, *more)
        assert not (tmp_path / "out").exists()
        return told

    other_tokens = {"chunk_size": 98, "n_params": None, "input_splits": None}
    assert "has shape [32, 100], but its settings imply [32, 98]" in tell(
        FILE, other_tokens | {"output_splits": None}
    )
    assert "is no checkpoint of PyTorch" in tell(SETTINGS, {})
    twice = read(FILE)
    twice["G_ema"] |= {f"module.{name}": x for name, x in twice["G_ema"].items()}
    torch_file.write(tmp_path / "x.pt", twice)
    told = tell(tmp_path / "x.pt", {})
    assert "do not imply, module.decoder.pos_emb" in told and "It has decoder.pos_emb [1, " in told
    assert f"{tmp_path} is a folder" in tell(tmp_path, {})
    assert f"{tmp_path} is a folder" in tell(FILE, {}, "--network", str(tmp_path))
    assert "--scale=-1.0 must be" in tell(FILE, {}, "--scale", "-1")
    other = tmp_path / "other.json"
    described = {"name": "mlp", "hidden": [9], "activation": "relu", "input_shape": [64]}
    other.write_text(json.dumps(described | {"outputs": 5}))
    assert "tensors of sizes [576, 9, 45, 5]" in tell(FILE, {}, "--network", str(other))
    other.write_text(json.dumps(described))
    assert "'outputs' is missing" in tell(FILE, {}, "--network", str(other))
    torch_file.write(tmp_path / "x.pt", {"model": {}})
    assert "has neither G nor G_ema" in tell(tmp_path / "x.pt", {})
    torch_file.write(tmp_path / "x.pt", {"G": read(FILE)["G"]})
    assert "has no G_ema: it has G" in tell(tmp_path / "x.pt", {})
    arguments = [str(FILE), "--settings", str(SETTINGS), "--out", str(imported)]
    assert "exists already" in refused(capsys, "import-gpt-model", *arguments)
    assert "is not a workdir" in refused(
        capsys, "export-gpt-model", str(tmp_path), "--out", str(tmp_path / "x.pt")
    )


def test_a_model_of_what_is_no_weight_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    content = torch.load(FILE, weights_only=True)
    arguments = ["--settings", str(SETTINGS), "--out", str(tmp_path / "out")]
    name = "decoder.ln_f.bias"
    for changed, words in (
        (content["G"][name].to(torch.int8), "holds numbers of type int8"),
        (content["G"][name] > 0, "holds numbers of type bool"),
        (content["G"][name].to(torch.complex64), "holds numbers of type complex64"),
        (content["G"][name].to(torch.float64) + 1e300, "has NaN or infinite numbers"),
    ):
        torch.save(content | {"G": content["G"] | {name: changed}}, tmp_path / "x.pt")
        told = refused(capsys, "import-gpt-model", str(tmp_path / "x.pt"), *arguments)
        assert f"{name} {words}" in told
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "sizes", "expected"),
    [
        (
            ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"),
            (7840, 10, 100, 10),
            {"name": "mlp", "hidden": [10], "input_shape": [784], "outputs": 10},
        ),
        (
            ("conv1.weight", "conv2.weight", "fc.weight", "fc.bias"),
            (432, 4608, 320, 10),
            {"name": "cnn", "channels": [16, 32], "strides": [2, 1], "input_shape": [32, 32, 3]},
        ),
        (
            ("conv.weight", "conv.bias", "fc.weight", "fc.bias"),
            (27 * 4, 4, 8, 2),
            {"name": "cnn", "channels": [4], "bias": True, "input_shape": [32, 32, 3]},
        ),
        (
            ("log_std", *(f"l{i}.{kind}" for i in range(3) for kind in ("weight", "bias"))),
            (1, 128, 32, 1024, 32, 32, 1),
            {"name": "gaussian_policy", "hidden": [32, 32], "activation": "selu"},
        ),
    ],
)
def test_networks_are_found_from_their_sizes(
    names: tuple[str, ...], sizes: tuple[int, ...], expected: dict[str, Any]
) -> None:
    settings = Settings(sizes, names, "layer_by_layer", 1, 8, 1, 2)
    described, network = gpt_network.find(settings)
    assert expected.items() <= described.items()
    assert network.spec.size == sum(sizes)


def test_a_network_that_is_none_has_to_be_told() -> None:
    settings = Settings((7, 3), ("a", "b"), "layer_by_layer", 1, 8, 1, 2)
    with pytest.raises(UserError, match=r"fit no known network: describe it"):
        gpt_network.find(settings)


def test_an_imported_workdir_cannot_be_trained_on_by_mistake(imported: Path) -> None:
    assert stages.is_done(imported, "train") and not stages.is_begun(imported, "zoo")
