"""Loading a workdir: what is there, what can be chosen, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import mole_jax
from mole_jax import experiment
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage import files
from mole_jax.sampling.load import Model
from mole_jax.tasks import networks
from tests import tiny
from tests.sampling.conftest import CONFIG


def test_a_model_says_what_networks_it_writes(model: Model) -> None:
    assert model.description == json.loads(json.dumps(model.description))
    assert networks.from_json(model.description).spec == model.learner.network.spec


def test_other_checkpoints_can_be_loaded(workdir: Path, model: Model) -> None:
    best = mole_jax.load(workdir, checkpoint="best")
    halves = jax.tree.map(lambda x: 0.5 * x, model.params)
    assert tiny.equal_trees(best.params, halves)
    # So that it need not be compiled again.
    assert jax.tree.structure(best.learner.model) == jax.tree.structure(model.learner.model)
    steps = CONFIG.training.steps
    assert tiny.equal_trees(mole_jax.load(workdir, checkpoint=np.int64(steps - 1)).params, halves)
    assert tiny.equal_trees(mole_jax.load(workdir, checkpoint=steps).params, model.params)
    with pytest.raises(UserError, match=rf"no checkpoint 7; there are .* {steps - 1}, {steps}$"):
        mole_jax.load(workdir, checkpoint=7)


def test_a_workdir_from_before_keys_were_renamed_is_loaded(
    workdir: Path, model: Model, tmp_path: Path
) -> None:
    copy = shutil.copytree(workdir, tmp_path / "copy")
    tiny.with_old_names(copy)
    older = mole_jax.load(copy, steps=2)
    assert older.config == {k: x for k, x in model.config.items() if k not in experiment.LATER}
    assert tiny.equal_trees(older.params, model.params)


def test_statistics_of_what_was_trained_on_are_kept(workdir: Path, model: Model) -> None:
    from sklearn.datasets import load_digits

    images = load_digits().data
    assert model.inputs.mean is not None and len(model.inputs.mean) == 64
    np.testing.assert_allclose(model.inputs.mean, images.mean(axis=0), atol=0.5)
    np.testing.assert_allclose(model.inputs.std, images.std(axis=0), atol=0.5)


def test_a_workdir_without_statistics_has_those_of_its_scale(
    workdir: Path, model: Model, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(workdir, copy)
    file = copy / "train" / "model.npz"
    with np.load(file) as arrays:
        kept = {name: arrays[name] for name in arrays if not name.startswith("pixel_")}
    files.write_npz(file, **kept)
    before = mole_jax.load(copy).inputs
    scale, shift = model.standardise
    np.testing.assert_allclose((before.mean, before.std), ((-shift / scale,), (1 / scale,)))
    np.testing.assert_allclose(before.mean, np.mean(model.inputs.mean), atol=0.01)
    # Without any scale nothing is known.
    files.write_npz(file, **kept | {"input_scale": np.float32(1), "input_shift": np.float32(0)})
    assert mole_jax.load(copy).inputs.mean is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "regression"}, "no regression model was trained"),
        ({"objective": ["diffusion"]}, "objective=.* is unknown"),
        ({"stepz": 3}, r"unknown options \['stepz'\]; there are name, .*: did you mean steps\?"),
        ({"steps": 0}, r"sampling\.steps=0 must lie in"),
        ({"steps": 2.5}, r"sampling\.steps=2.5 must be a whole number"),
        ({"steps": "5"}, r"sampling\.steps='5' must be a whole number"),
        ({"steps": True}, r"sampling\.steps=True must be a whole number"),
        ({"guidance": "1"}, r"sampling\.guidance='1' must be a number"),
        ({"guidance": 1e30}, r"sampling\.guidance=1e\+30 must lie in -100\.\.100"),
        ({"guidance": 1e39}, r"sampling\.guidance=1e\+39 must be a number, finite in float32"),
        ({"eta": None}, r"sampling\.eta=None must be a number"),
        ({"name": 3}, r"sampling\.name=3 is unknown"),
        ({"checkpoint": 2.5}, "checkpoint=2.5 must be a whole number"),
        ({"checkpoint": True}, "checkpoint=True must be a whole number"),
        ({"checkpoint": None}, "checkpoint=None must be a whole number"),
        ({"checkpoint": "7"}, "checkpoint='7' must be 'last', 'best' or a step"),
        ({"weights": 1}, "weights=1 must be 'average' or 'last'"),
        ({"weights": np.ones(2)}, "weights=.* must be 'average' or 'last'"),
    ],
)
def test_options_that_cannot_be(workdir: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        mole_jax.load(workdir, **options)
    assert "\n" not in str(refused.value)


def test_workdirs_that_are_not_ready(workdir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        mole_jax.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"is not a workdir: it has no workdir\.json$"):
        mole_jax.load(tmp_path)
    for inside in ("zoo", "train", "workdir.json"):
        with pytest.raises(UserError, match=rf"is not a workdir: .*; it lies in one, {workdir}$"):
            mole_jax.load(workdir / inside)
    with stages.open_workdir(tmp_path / "fresh"):
        pass
    with pytest.raises(UserError, match="the train stage has not begun"):
        mole_jax.load(tmp_path / "fresh")
    shutil.copytree(workdir, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "train" / "diffusion" / "checkpoints" / "20")
    with pytest.raises(UserError, match=r"has 19 of 20 steps: wait .* or load checkpoint=19"):
        mole_jax.load(tmp_path / "copy")


@pytest.mark.parametrize("damage", ["a byte", "cut", "empty", "gone", "foreign"])
def test_scales_that_are_damaged_are_named(workdir: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(workdir, tmp_path / "work")
    file = tmp_path / "work" / "train" / "model.npz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    if damage == "gone":
        file.unlink()
    elif damage == "foreign":
        np.savez(file, x=np.zeros(3))
    else:
        kept = {"a byte": data, "cut": data[: len(data) // 2], "empty": b""}[damage]
        file.write_bytes(kept)
    what = "missing" if damage == "gone" else "damaged"
    with pytest.raises(UserError, match=rf"model\.npz is {what}.*: restore it from a copy") as said:
        mole_jax.load(tmp_path / "work")
    assert "\n" not in str(said.value)
