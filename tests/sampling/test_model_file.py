"""A model in one file predicts what the workdir's does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy

import mole_jax
from mole_jax.core.errors import UserError
from mole_jax.interop.__main__ import main as interop
from mole_jax.sampling import model_file
from mole_jax.sampling.load import Model
from tests import tiny
from tests.sampling.conftest import predict, untrained

pytestmark = untrained
Labelled = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def file(workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "model.safetensors"
    assert interop(["export-model", str(workdir), f"--out={path}"]) == 0
    return path


def test_a_file_predicts_as_the_workdir(file: Path, model: Model, support: Labelled) -> None:
    found = mole_jax.load(file, steps=2)
    assert (found.plan, found.inputs, found.config) == (model.plan, model.inputs, model.config)
    assert repr(found) == repr(model)
    assert tiny.equal_trees(predict(found, support), predict(model, support))
    assert file.stat().st_size < 4.2 * sum(x.size for x in jax.tree.leaves(model.params)) + 20_000


def test_half_the_size_costs_little(file: Path, model: Model, support: Labelled) -> None:
    small = file.with_name("half.safetensors")
    model_file.save(small, model, dtype="float16", about={"why": "smaller"})
    assert small.stat().st_size < 0.6 * file.stat().st_size
    found = [predict(each, support) for each in (model, mole_jax.load(small, steps=2))]
    whole, half = (nets.params["output"]["kernel"] for nets in found)
    np.testing.assert_allclose(half, whole, atol=0.02 * np.abs(whole).max())
    assert model_file.read(small)[1]["about"] == {"why": "smaller"}
    large = jax.tree.map(lambda x: 1e6 * x, model.params)
    with pytest.raises(UserError, match="float16 cannot hold: take float32"):
        model_file.save(small, dataclasses.replace(model, params=large), dtype="float16")


def test_what_is_no_model_or_damaged_is_refused(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(safetensors.numpy.save({"a": np.zeros(3)}))
    with pytest.raises(UserError, match="is not a model file"):
        mole_jax.load(other)
    data = bytearray(file.read_bytes())
    for at in (len(data) - 5, data.index(b'"scale') + 0, data.index(b"start_loss") + 14):
        damaged = data.copy()
        damaged[at] ^= 1  # within a number, or within what is said of the model
        other.write_bytes(damaged)
        with pytest.raises(UserError, match=r"is damaged: restore it|cannot be read as safet"):
            mole_jax.load(other)
    other.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        mole_jax.load(other)
    for options, message in (
        ({"objective": "regression"}, "holds the diffusion model, not 'regression'"),
        ({"checkpoint": "best"}, "holds one checkpoint: leave checkpoint and weights out"),
        ({"weights": "last"}, "holds one checkpoint"),
        ({"step": 3}, "did you mean steps"),
    ):
        with pytest.raises(UserError, match=message):
            mole_jax.load(file, **options)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.safetensors"):
        mole_jax.load(tmp_path / "nowhere.safetensors")
