"""One model for two, three and four classes: its networks have as many outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mole_jax
from mole_jax import predict as command
from mole_jax.core.errors import UserError
from mole_jax.interop.network_files import load_network
from mole_jax.learners import answers
from mole_jax.sampling.load import Model, Networks
from mole_jax.tasks.classification import masked
from mole_jax.training.learner import Episodes
from tests import tiny, untrained

CONFIG = tiny.tiny_config(**tiny.SEVERAL_CLASSES)
KEY = jax.random.key(0)


# Networks of a model that was not trained are far from what is asked for.
pytestmark = pytest.mark.filterwarnings("ignore:predict. .* was asked for:mole_jax.MoleWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("several")
    untrained.write(folder, CONFIG, (8, 8, 1), 4)
    return mole_jax.load(folder, steps=2)


def task(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Twelve digits of k classes."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(n_class=k, return_X_y=True)
    rows = np.concatenate([np.flatnonzero(labels == c)[: 12 // k] for c in range(k)])
    return images[rows], labels[rows]


@pytest.fixture(scope="module")
def nets(model: Model) -> dict[int, Networks]:
    return {k: model.predict(*task(k), target_loss=0.5, n=2, key=KEY) for k in (2, 3, 4)}


@pytest.mark.parametrize("k", [2, 3, 4])
def test_a_prediction_has_as_many_classes_as_its_support_set(
    model: Model, nets: dict[int, Networks], k: int
) -> None:
    x, y = task(k)
    found = nets[k]
    assert found.params["output"]["kernel"].shape == (2, 6, k)
    assert found.params["output"]["bias"].shape == (2, k)
    assert found.network.n_outputs == found.description["outputs"] == k
    assert found.apply(x).shape == (2, 12, k)
    assert f"-> {k}," in repr(found) and "2 to 4 classes" in repr(model)
    # What it says of itself is the loss of these outputs.
    chosen = jax.nn.log_softmax(found.apply(x))[:, np.arange(12), y]
    np.testing.assert_allclose(found.predicted_metric, -chosen.mean(axis=1), rtol=1e-5)


def test_outputs_are_those_of_the_whole_network_masked(
    model: Model, nets: dict[int, Networks]
) -> None:
    """From starts of three classes; the network with all outputs comes from the learner itself."""
    x, y = task(3)
    again = model.predict(x, y, target_loss=0.5, n=2, key=KEY, start=nets[3], start_loss=1.0)
    full = model.learner.network
    examples = model._support(x, y).examples
    start = jnp.zeros((2, full.spec.size))
    small = nets[3].network.spec.flatten(nets[3].params)
    start = start.at[:, full.output_of < 3].set(small)
    start = start.at[:, full.output_of == 3].set(8.0)  # which nobody looks at
    episodes = Episodes(
        jnp.zeros(2, jnp.int32),
        jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (2, *leaf.shape)), examples),
        start,
        jnp.ones(2),
    )
    noise = mole_jax.core.rng.at(KEY, "noise", 0)
    request = answers.all_of(jnp.full((2,), 0.5))
    flat = answers.adapt(model.learner, model.params, episodes, request, noise)
    assert not np.asarray(flat)[:, full.output_of == 3].any()
    inputs = model.inputs.standardised(jnp.asarray(x, jnp.float32))
    logits = jax.vmap(lambda f: full.apply(full.spec.unflatten(f), inputs))(flat)
    probabilities = jax.nn.softmax(masked(logits, jnp.int32(3)))
    np.testing.assert_allclose(probabilities[..., :3], jax.nn.softmax(again.apply(x)), atol=1e-5)
    np.testing.assert_array_equal(probabilities[..., 3], 0)


def test_any_number_of_classes_shares_the_large_program(
    model: Model, nets: dict[int, Networks], caplog: pytest.LogCaptureFixture
) -> None:
    """There is one for fresh starts, that of `nets`, and one for starts that are there."""
    compiled = []
    for k in (2, 3, 4):
        asked = {"target_loss": 0.5, "n": 2, "key": KEY}
        with jax.log_compiles(), caplog.at_level("WARNING"):
            model.predict(*task(k), **asked)
            model.predict(*task(k), **asked, start=nets[k], start_loss=1.0)
            again = model.predict(*task(k), **asked, start=nets[k], rounds=2)
        assert again.network.n_outputs == k
        compiled.append(sum("Compiling jit(write)" in line for line in caplog.messages))
        caplog.clear()
    assert compiled[0] <= 1 and not any(compiled[1:])


def test_starts_have_as_many_outputs_too(model: Model, nets: dict[int, Networks]) -> None:
    with pytest.raises(UserError, match=r"output/kernel \[2, 6, 4\] and not \[2, 6, 3\]"):
        model.predict(*task(3), target_loss=0.5, n=2, key=KEY, start=nets[4])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 3, 4], "0..3, and one is 4: the model is for up to 4 classes"),
        ([0, 0, 0, 0, 0], "it has class 0 only: give examples of two classes or more"),
    ],
)
def test_too_many_and_too_few_classes_are_refused(
    model: Model, labels: list[int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        model.predict(task(2)[0][:5], labels, target_loss=0.5, key=KEY)


def test_a_class_without_examples_and_fewer_than_ever_trained_with_are_said(model: Model) -> None:
    with pytest.warns(mole_jax.MoleWarning, match=r"no example of class 1 \(of 0..2\)"):
        found = model.predict(task(2)[0][:4], [0, 2, 0, 2], target_loss=0.5, key=KEY)
    assert found.network.n_outputs == 3
    other = Model(**{**model.__getstate__(), "config": json.loads(json.dumps(model.config))})
    other.config["data"]["fewest_classes"] = 3
    with pytest.warns(mole_jax.MoleWarning, match="has 2 classes, and the model was trained with"):
        other.predict(*task(2), target_loss=0.5, key=KEY)


def test_the_command_writes_networks_of_the_task(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(mole_jax, "load", lambda *_, **__: model)
    for k in (3, 4):
        x, y = task(k)
        np.savez(tmp_path / f"{k}.npz", image=x.reshape(-1, 8, 8), label=y)
    out, sources = tmp_path / "net.safetensors", [f"npz:{tmp_path / f'{k}.npz'}" for k in (3, 4)]
    common = [str(tmp_path), f"--support={sources[0]}", f"--out={out}", "--target_loss=0.5"]
    assert command.main([*common, f"--test={sources[0]}"]) == 0
    assert "12 images of 3 classes" in capsys.readouterr().out
    found = load_network(out)
    assert found.network.n_outputs == found.card["network"]["outputs"] == 3
    assert found.params["output"]["kernel"].shape == (6, 3)
    common += [f"--start={out}", f"--out={tmp_path / 'next.safetensors'}"]
    assert command.main([*common, f"--test={sources[1]}"]) != 0
    assert "it has 4 classes, but the networks have 3" in capsys.readouterr().err
    assert command.main(common) == 0
