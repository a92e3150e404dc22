"""One model of MLPs of several sizes: callers ask for any that it has room for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import mole_jax
from mole_jax import predict as command
from mole_jax.core.errors import MoleWarning, UserError
from mole_jax.interop.network_files import load_network
from mole_jax.sampling.load import Model
from tests import tiny, untrained

SETTINGS = {
    **tiny.SEVERAL_CLASSES,
    "network__name": "mlps",
    "network__hidden": (6, 5),
    "network__widths": (2, 5),
}
KEY = jax.random.key(0)

# Networks of a model that was not trained are far from what is asked for.
pytestmark = pytest.mark.filterwarnings("ignore:predict. .* was asked for:mole_jax.MoleWarning")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    with tiny.quick_compilation():
        untrained.write(folder, tiny.tiny_config(**SETTINGS), (8, 8, 1), 4)
    return folder


@pytest.fixture(scope="module")
def model(workdir: Path) -> Model:
    return mole_jax.load(workdir, steps=2)


@pytest.fixture(scope="module")
def task() -> tuple[np.ndarray, np.ndarray]:
    """Twelve digits of three classes."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(n_class=3, return_X_y=True)
    rows = np.concatenate([np.flatnonzero(labels == c)[:4] for c in range(3)])
    return images[rows], labels[rows]


@pytest.mark.parametrize(
    ("asked", "hidden"),
    [(None, (5, 5)), ("mlp:64,4,3", (4,)), ("mlp:64,3,5,3", (3, 5)), ("mlp:64,2,3", (2,))],
)
def test_a_network_has_the_sizes_that_were_asked_for(
    model: Model, task: tuple[np.ndarray, np.ndarray], asked: str | None, hidden: tuple[int, ...]
) -> None:
    nets = model.predict(*task, target_loss=0.5, n=2, key=KEY, network=asked)
    assert nets.description["hidden"] == list(hidden) and nets.network.name == "mlp"
    assert nets.network is model.network(task[1], asked)
    for i, width in enumerate(hidden):
        assert nets.params[f"hidden_{i}"]["bias"].shape == (2, width)
    assert nets.params["output"]["kernel"].shape == (2, hidden[-1], 3)
    assert all(np.abs(x).min() > 0 for x in jax.tree.leaves(nets.params))
    assert nets.apply(task[0]).shape == (2, 12, 3)
    # The loss that was measured in the frame is the network's own.
    logits = np.asarray(nets.apply(task[0]), np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    own = -logs[:, np.arange(12), task[1]].mean(axis=1)
    np.testing.assert_allclose(nets.predicted_metric, own, rtol=1e-3)
    again = model.predict(*task, target_loss=0.5, n=2, key=KEY, network=asked, start=nets)
    assert again.description == nets.description


def test_networks_go_on_with_their_own_sizes(
    model: Model, task: tuple[np.ndarray, np.ndarray]
) -> None:
    nets = model.predict(*task, target_loss=0.5, key=KEY, network="mlp:64,3,5,3")
    again = model.predict(*task, target_loss=0.5, key=KEY, start=nets)
    assert again.description["hidden"] == [3, 5]
    with pytest.raises(UserError, match=r"start lacks hidden_1.*; for other sizes give network="):
        small = model.predict(*task, target_loss=0.5, key=KEY, network="mlp:64,4,3")
        model.predict(*task, target_loss=0.5, key=KEY, start=small.params)


@pytest.mark.parametrize("of", ["a unit", "a layer"])
def test_a_start_that_would_be_taken_for_a_smaller_network_is_refused(
    model: Model, task: tuple[np.ndarray, np.ndarray], of: str
) -> None:
    nets = model.predict(*task, target_loss=0.5, key=KEY, network="mlp:64,3,5,3")
    params = jax.tree.map(np.array, nets.params)
    params["hidden_1"]["kernel"][..., 0 if of == "a unit" else slice(None)] = 0
    with pytest.raises(UserError, match="start: all weights into one of its units are zero"):
        model.predict(*task, target_loss=0.5, key=KEY, network="mlp:64,3,5,3", start=params)


def test_sizes_outside_of_training_are_remarked_upon(
    model: Model, task: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.warns(MoleWarning, match=r"hidden layers of 6 units: training had widths 2..5"):
        model.predict(*task, target_loss=0.5, key=KEY, network="mlp:64,6,3")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("mlp:64,7,3", "has no room for an MLP of"),
        ("mlp:64,6,6,3", "has no room for an MLP of"),
        ("mlp:64,2,2,2,3", "has no room for an MLP of"),
        ("mlp:64,2,4", "64 inputs and 3 classes: ask for mlp:64,HIDDEN,...,3"),
        ("mlp:65,2,3", "64 inputs and 3 classes: ask for"),
        ("cnn:1,2,3", "this model writes no such network: ask for mlp:64,HIDDEN,...,3"),
        ("vit", "this model writes no such network: ask for mlp:64,HIDDEN,...,3"),
        ("", "this model writes no such network: ask for mlp:64"),
        ("2-", "'2-' names no hidden layers"),
        (8, "network must be a text, such as 'mlp:64,24,5', not 8"),
        (("8",), "network must be a text, such as"),
        ("mlp:64", "needs three sizes at least"),
    ],
)
def test_networks_that_the_model_does_not_write(
    model: Model, task: tuple[np.ndarray, np.ndarray], asked: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        model.predict(*task, target_loss=0.5, key=KEY, network=asked)


def test_a_model_of_one_size_writes_that_alone(
    tmp_path: Path, task: tuple[np.ndarray, np.ndarray]
) -> None:
    with tiny.quick_compilation():
        untrained.write(tmp_path, tiny.tiny_config(), (8, 8, 1), 3)
    one = mole_jax.load(tmp_path, steps=2)
    nets = one.predict(*task, target_loss=0.5, key=KEY, network="mlp:64,6,3")
    assert nets.description["hidden"] == [6]
    with pytest.raises(UserError, match="this model writes only one network: leave network out"):
        one.predict(*task, target_loss=0.5, key=KEY, network="mlp:64,5,3")


def test_the_command_writes_files_of_them(
    workdir: Path,
    tmp_path: Path,
    task: tuple[np.ndarray, np.ndarray],
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.savez(tmp_path / "mine.npz", image=task[0].reshape(-1, 8, 8), label=task[1])
    common = [str(workdir), f"--support={tmp_path}/mine.npz", "--target_loss=0.5", "--steps=2"]
    out = tmp_path / "net.safetensors"
    assert command.main([*common, "--network=mlp:64,3,5,3", f"--out={out}"]) == 0
    assert "networks  mlp, 233 parameters" in capsys.readouterr().out
    network = load_network(out).network
    assert network.sizes["hidden_0"] == 3 and network.sizes["hidden_1"] == 5
    assert command.main([*common, "--network=mlp:64,3,5,9"]) == 2
    assert "3 classes: ask for mlp:64,HIDDEN,...,3" in capsys.readouterr().err
