"""Ancestors in users' hands: equal networks, classes without networks, optimizers."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mole_jax
from mole_jax.core.errors import MoleWarning, UserError
from mole_jax.learners import registry
from mole_jax.sampling import model_file
from tests import tiny, untrained

LEARNERS = tuple(registry.ANCESTORS)
READERS = ("recurrent", "in_context", "self_referential")
CONFIG = tiny.tiny_config(
    data__classes_per_subset=4,
    **{f"learners__{name}__steps": 5 for name in LEARNERS},
    learners__maml__try_steps=(2, 3),
    **{f"learners__{name}__width": 8 for name in READERS},
    **{f"learners__{name}__heads": 2 for name in READERS},
)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(8, 4, (12, 8, 8)).astype(np.float32), np.arange(12) % 4
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ancestors") / "run"
    untrained.write(folder, CONFIG, (8, 8, 1), 4, LEARNERS)
    return folder


def test_one_start_makes_one_network_and_that_is_said(workdir: Path) -> None:
    model = mole_jax.load(workdir, objective="maml")
    assert model.learner.setting == {"steps": 3, "rate": 1.0}  # the last that is tried
    one = model.predict(X, Y, key=KEY)
    with pytest.warns(MoleWarning, match="all 2 networks are the same"):
        two = model.predict(X, Y, n=2, key=KEY)
    np.testing.assert_allclose(two.apply(X)[1], one.apply(X)[0], atol=1e-5)


def test_a_reader_answers_with_probabilities(workdir: Path, tmp_path: Path) -> None:
    model = mole_jax.load(workdir, objective="in_context")
    found = model.classify(X, Y, X[:5], key=KEY, n=3)
    assert found.shape == (5, 4)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(found[1:2], model.classify(X, Y, X[1:2], key=KEY, n=3), atol=1e-5)
    assert model.classify(X, Y, X[:0], key=KEY).shape == (0, 4)
    with pytest.raises(UserError, match=r"writes no network: use model\.classify"):
        model.predict(X, Y, key=KEY)
    with pytest.raises(UserError, match="x has the shape"):
        model.classify(X, Y, X[:, :3], key=KEY)
    with pytest.raises(UserError, match="writes networks: use predict"):
        mole_jax.load(workdir, objective="maml").classify(X, Y, X, key=KEY)
    model_file.save(tmp_path / "reader.safetensors", model)
    again = mole_jax.load(tmp_path / "reader.safetensors")
    np.testing.assert_allclose(again.classify(X, Y, X[:5], key=KEY, n=3), found, atol=1e-3)
    assert "reads examples and answers with classes" in repr(model)
    with pytest.raises(UserError, match="classify: its inputs are traced: call it outside of jit"):
        jax.jit(lambda x: model.classify(X, Y, x, key=KEY))(X)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_model_in_one_file_is_the_same_model(name: str, workdir: Path, tmp_path: Path) -> None:
    model = mole_jax.load(workdir, objective=name)
    model_file.save(tmp_path / "model.safetensors", model, dtype="float32")
    again = mole_jax.load(tmp_path / "model.safetensors")
    assert again.objective == name and again.learner.setting == model.learner.setting
    assert tiny.equal_trees(again.params, model.params)


def test_a_learned_optimizer_trains_what_it_is_given(workdir: Path) -> None:
    optimizer = mole_jax.load(workdir, objective="l2l").optimizer()
    params = {"w": jnp.ones((2, 3)), "b": jnp.zeros(3)}
    state = optimizer.init(params)
    update, _ = jax.jit(optimizer.update)(params, state, params)
    assert optax.tree.norm(update) > 0 and update["w"].shape == (2, 3)
    with pytest.raises(UserError, match="has learned no optimizer: load l2l"):
        mole_jax.load(workdir, objective="maml").optimizer()
