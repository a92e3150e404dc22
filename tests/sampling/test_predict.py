"""The public interface: from a workdir and a support set to networks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mole_jax
from mole_jax import main as command
from mole_jax.core import stages
from mole_jax.core.checkpoint import Checkpoints
from mole_jax.core.errors import UserError
from mole_jax.metamodel import state as states
from mole_jax.metamodel import train
from mole_jax.metamodel.pairs import Draw
from mole_jax.metamodel.state import Hyper, State
from mole_jax.sampling.predict import Model
from mole_jax.tasks import family as families
from mole_jax.tasks import networks
from mole_jax.tasks.classification import loss_and_accuracy
from tests import tiny

CONFIG = tiny.tiny_config(zoo__subsets_per_group=10)


def untrained(
    config: Any,
    model: Any,
    normaliser: Any,
    arrays: Any,
    data: Any,
    folder: Path,
    mesh: Any,
    *_: Any,
) -> None:
    """Leave checkpoints of a finished training, with parameters that do something.

    The one before the last is the best: all its parameters are half as large.
    """
    hyper, rules = Hyper.of(config), Draw.of(config)
    like = jax.eval_shape(lambda key: states.init(model, hyper, rules, key), jax.random.key(0))
    params = tiny.random_like(like.params)
    optimizer = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like.optimizer)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        for step, loss, scale in ((hyper.steps - 1, 1.0, 0.5), (hyper.steps, 2.0, 1.0)):
            kept = jax.tree.map(lambda x, scale=scale: scale * x, params)
            checkpoints.save(step, State(jnp.int32(step), kept, kept, optimizer), loss)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "fit", untrained)
        stages.run(folder, command.STAGES[:2], ("zoo", "train"), CONFIG)
    return folder


@pytest.fixture(scope="module")
def model(workdir: Path) -> Model:
    return mole_jax.load(workdir, steps=2)


@pytest.fixture(scope="module")
def support() -> tuple[np.ndarray, np.ndarray]:
    """Seven digits each of three classes, as scikit-learn gives them: pixels 0..16."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(labels == c)[:7] for c in (3, 5, 8)])
    return images[rows], np.repeat(np.arange(3), 7)


def predict(model: Model, support: tuple[Any, Any], **changes: Any) -> Any:
    arguments = {"target_loss": 0.1, "n": 2, "key": jax.random.key(0)} | changes
    return model.predict(*support, **arguments)


def test_networks_come_as_the_parameters_and_as_functions(
    model: Model, support: tuple[np.ndarray, np.ndarray]
) -> None:
    nets = predict(model, support)
    x, y = support
    network, family = model.metamodel.network, families.build(CONFIG)
    assert (network.n_inputs, network.n_outputs) == (64, 3)
    assert nets.params["hidden_0"]["kernel"].shape == (2, 64, 6)
    assert nets.params["output"]["bias"].shape == (2, 3)
    logits = nets.apply(x)
    assert logits.shape == (2, 21, 3)
    inputs = jnp.asarray(x * family.scale + family.shift, jnp.float32)
    for i in range(2):
        one = jax.tree.map(lambda p, i=i: p[i], nets.params)
        np.testing.assert_allclose(logits[i], network.apply(one, inputs), rtol=1e-3, atol=1e-3)
    loss, _ = loss_and_accuracy(logits, jnp.asarray(y), jnp.ones(21, bool))
    np.testing.assert_allclose(nets.predicted_metric, loss, rtol=1e-4)
    # What the networks are can be written down, and built from that.
    assert nets.description == model.description == json.loads(json.dumps(model.description))
    assert networks.from_json(nets.description).spec == nets.network.spec
    # Any shape with so many pixels will do.
    np.testing.assert_array_equal(nets.apply(x.reshape(-1, 8, 8)), logits)


def test_the_key_decides_and_everything_asked_for_matters(
    model: Model, support: tuple[np.ndarray, np.ndarray]
) -> None:
    nets = predict(model, support)
    assert tiny.equal_trees(predict(model, support).params, nets.params)
    assert (
        float(
            jnp.abs(nets.params["output"]["kernel"][0] - nets.params["output"]["kernel"][1]).max()
        )
        > 1e-3
    )
    x, y = support
    for changed in (
        predict(model, support, key=jax.random.key(1)),
        predict(model, support, target_loss=1.0),
        predict(model, (x[::-1] + 1, y)),
        predict(model, (x, (y + 1) % 3)),
        predict(model, support, rounds=2),
    ):
        assert not np.allclose(changed.params["output"]["kernel"], nets.params["output"]["kernel"])


def test_a_support_set_of_any_size_in_any_order(
    model: Model, support: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = support
    order = np.random.default_rng(0).permutation(len(y))
    a, b = predict(model, support), predict(model, (x[order].tolist(), y[order].tolist()))
    for p, q in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-2, atol=1e-3)
    one = predict(model, (x[:1], y[:1]))
    assert all(np.isfinite(p).all() for p in jax.tree.leaves(one.params))


def test_a_start_may_be_given(model: Model, support: tuple[np.ndarray, np.ndarray]) -> None:
    network = model.metamodel.network
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(2, network.spec.size)).astype(np.float32)
    both = network.spec.unflatten(flat)
    a = predict(model, support, start=both)
    first = predict(model, support, start=jax.tree.map(lambda p: p[0], both))
    for p, q in zip(jax.tree.leaves(a.params), jax.tree.leaves(first.params), strict=True):
        np.testing.assert_allclose(p[0], q[0], rtol=1e-4, atol=1e-4)
    assert not np.allclose(a.params["output"]["kernel"][1], first.params["output"]["kernel"][1])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((6, 63)), np.zeros(6, int), "expected m images of 64 pixels"),
        (np.zeros((6, 64)), np.zeros(5, int), "do not fit"),
        (np.zeros((0, 64)), np.zeros(0, int), "do not fit"),
        (np.zeros(64), 0, "do not fit"),
        (3.0, 0, "do not fit"),
        ([[0.0] * 64, [0.0] * 63], [0, 1], "cannot be read"),
        (np.zeros((3, 64)), np.array([0, 1, 3]), r"integers in 0\.\.2"),
        (np.zeros((3, 64)), np.array([0, 1, -1]), r"integers in 0\.\.2"),
        (np.zeros((3, 64)), np.array([0.0, 1.0, 2.0]), r"integers in 0\.\.2"),
        (np.full((3, 64), np.nan), np.array([0, 1, 2]), "NaN"),
    ],
)
def test_a_support_set_that_does_not_fit(
    model: Model, images: Any, labels: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        predict(model, (images, labels))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_loss": -0.1}, "target_loss=-0.1"),
        ({"target_loss": float("nan")}, "target_loss=nan"),
        ({"target_loss": float("inf")}, "target_loss=inf"),
        ({"n": 0}, "n=0"),
        ({"rounds": 0}, "rounds=0"),
        ({"start": {"hidden_0": {}}}, "start: parameter 'hidden_0/.*' is missing"),
        ({"start": 3.0}, "start: "),
        ({"n": 5, "start": "three networks"}, "start: "),
        ({"start": "not finite"}, "start: a parameter is NaN"),
    ],
)
def test_requests_that_cannot_be_met(
    model: Model, support: tuple[np.ndarray, np.ndarray], changes: dict, message: str
) -> None:
    spec = model.metamodel.network.spec
    if changes.get("start") == "three networks":
        changes = changes | {"start": spec.unflatten(np.zeros((3, spec.size), np.float32))}
    if changes.get("start") == "not finite":
        changes = changes | {"start": spec.unflatten(np.full(spec.size, np.nan, np.float32))}
    with pytest.raises(UserError, match=message):
        predict(model, support, **changes)


def test_other_checkpoints_can_be_loaded(workdir: Path, model: Model) -> None:
    best = mole_jax.load(workdir, checkpoint="best")
    halves = jax.tree.map(lambda x: 0.5 * x, model.params)
    assert tiny.equal_trees(best.params, halves)
    steps = CONFIG.training.steps
    assert tiny.equal_trees(mole_jax.load(workdir, checkpoint=steps - 1).params, halves)
    assert tiny.equal_trees(mole_jax.load(workdir, checkpoint=steps).params, model.params)
    with pytest.raises(UserError, match=rf"no checkpoint 7; there are .* {steps - 1}, {steps}$"):
        mole_jax.load(workdir, checkpoint=7)


def test_workdirs_that_are_not_ready(workdir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stage train has not run"):
        mole_jax.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no regression model was trained"):
        mole_jax.load(workdir, objective="regression")
    with pytest.raises(UserError, match=r"unknown options \['stepz'\]"):
        mole_jax.load(workdir, stepz=3)
    with pytest.raises(UserError, match=r"sampling\.steps=0"):
        mole_jax.load(workdir, steps=0)
    shutil.copytree(workdir, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "train" / "diffusion" / "checkpoints" / "20")
    with pytest.raises(UserError, match=r"has 19 of 20 steps: wait .* or load\(checkpoint=19\)"):
        mole_jax.load(tmp_path / "copy")
