"""Every registered network goes through the whole line, from its zoo to its report."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

import mole_jax
from mole_jax import main as command
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import MoleWarning, UserError
from mole_jax.core.program import stages
from mole_jax.core.storage.files import read_json
from mole_jax.evaluation.harness import scoring
from mole_jax.tasks import networks
from mole_jax.tasks.environments import rollout
from mole_jax.tasks.environments.cartpole import CARTPOLE
from mole_jax.zoo.storage.reader import open_zoo
from mole_jax.zoo.storage.verify import verify
from tests import tiny
from tests.evaluation.conftest import SETTINGS

# Ancestors are tried with MLPs; how they take other networks is asked in tests/learners.
NO_ANCESTORS = {"learners__maml__steps": 0, "learners__in_context__steps": 0}
# Smaller than by default.
CHANGES: dict[str, dict[str, Any]] = {
    "mlp": {"network__hidden": (6, 5)},
    "cnn": {
        "network__channels": (3, 4),
        "network__strides": (2, 2),
        "network__norm_groups": 1,
        **NO_ANCESTORS,
    },
    "vit": {"network__width": 6, "network__layers": 1, "network__mlp": 5, **NO_ANCESTORS},
    "mlps": {
        "network__hidden": (6, 5),
        "network__widths": (2, 5),
        "network__unseen": ("4", "3-5"),
        **NO_ANCESTORS,
    },
    "several": {
        "network__hidden": (4,),
        "network__widths": (2, 4),
        "network__depths": (1,),
        "network__families": ("mlps", "cnn"),
        "network__channels": (3,),
        "network__strides": (2,),
        "network__unseen": ("3",),
        **NO_ANCESTORS,
    },
}


# Policies act in an environment, and their tasks have no labels.
ACTING = {
    "data__source": "env:cartpole",
    "data__train_subsets": 4,
    "data__support_per_class": 6,
    "network__hidden": (5,),
    "population__steps": 3,
    "population__snapshots": 3,
    "population__ppo__environments": 4,
    "population__ppo__rollout": 8,
    "population__ppo__epochs": 1,
    "population__ppo__evaluation_episodes": 2,
    "metamodel__pairwise": False,
    "training__permute_labels": 0.0,
    "training__permute_units": False,
    "evaluation__shots": (),
    "learners__maml__rollouts": 2,
    "learners__maml__rollout_steps": 30,
    "learners__in_context__steps": 0,  # it needs labels
}


@pytest.fixture(autouse=True)
def forget_programs() -> Iterator[None]:
    """Each test compiles hundreds; all of them are more than a process may map: see conftest.py."""
    yield
    jax.clear_caches()
    gc.collect()


def run_all(
    name: str, changes: dict[str, Any], workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Run every stage of a tiny experiment; return its evaluation."""
    settings = SETTINGS | {
        "network__name": name,
        "training__steps": 2,
        "training__regression_steps": 1,
        "training__warmup_steps": 1,
        "training__steps_per_dispatch": 1,
        "training__permute_units": True,
        "metamodel__inner_steps": 1,
        "sampling__steps": 2,
    }
    # Eight virtual devices on few cores would only get in each other's way.
    monkeypatch.setattr(mesh_lib, "make_mesh", lambda shape=None: tiny.mesh_of(1))
    config = tiny.tiny_config(**{**settings, **changes})
    stages.run(workdir, command.STAGES, ["zoo", "train", "evaluate", "report"], config)
    assert verify(workdir / "zoo") == []
    result = read_json(workdir / "report" / "evaluation.json")
    sizes = {f"S4-{own}" for own in changes.get("network__unseen", ())}
    assert set(result["splits"]) == {"S0", "S1"} | sizes
    assert np.isfinite(result["splits"]["S1"]["generated"]["mean"])
    assert (workdir / "report" / "index.html").stat().st_size > 10_000
    return result


@pytest.mark.filterwarnings("ignore:predict. .* was asked for:mole_jax.MoleWarning")
@pytest.mark.parametrize("name", networks.CLASSIFIERS)
def test_from_images_to_report(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tiny.quick_compilation():
        run_all(name, CHANGES.get(name, {}), tmp_path, monkeypatch)
        images, labels = load_digits(return_X_y=True)
        mine = labels < 3
        model = mole_jax.load(tmp_path)
        nets = model.predict(
            images[mine][:20], labels[mine][:20], target_loss=0.1, n=2, key=jax.random.key(0)
        )
        assert nets.apply(images[mine][20:30]).shape == (2, 10, 3)
        assert np.isfinite(nets.predicted_metric).all()


@pytest.mark.parametrize("name", networks.POLICIES)
def test_from_an_environment_to_report(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Episodes take long, and calls are filled up with networks to this many.
    monkeypatch.setattr(scoring, "AT_ONCE", 8)
    with tiny.quick_compilation():
        result = run_all(name, ACTING, tmp_path, monkeypatch)["splits"]["S1"]
        assert result["metric"] == "return"
        assert 0 < result["adam"]["mean"] < 1  # a share of the largest return
        assert {"retrieval", "soup", "noise", "regression", "maml"} == set(result["baselines"])
        zoo = open_zoo(tmp_path / "zoo")
        returns, losses = (zoo.metric(f"test_{kind}") for kind in ("return", "loss"))
        np.testing.assert_allclose(losses, 1 - returns / CARTPOLE.horizon, rtol=1e-5)
        task = np.asarray(zoo.schema.tasks[-1].parameters, np.float32)
        seen = rollout.transitions(CARTPOLE, task, jax.random.key(0), 20)
        model = mole_jax.load(tmp_path)
        nets = model.predict(seen, target_return=400, n=2, key=jax.random.key(0))
        assert nets.apply(np.zeros((10, 4))).shape[:2] == (2, 10)
        assert nets.predicted_metric is None
        same = model.predict(seen, target_loss=0.2, n=2, key=jax.random.key(0))
        for a, b in zip(jax.tree.leaves(nets.params), jax.tree.leaves(same.params), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        for wrong, message in (
            ({"x_support": seen[:, 1:], "target_loss": 0.1}, "expected m of 9 numbers"),
            (
                {"x_support": seen, "target_loss": 0.1, "target_return": 400},
                "one of target_loss and target_return, not both",
            ),
            ({"x_support": seen, "target_return": 501}, r"must lie in 0\.\.500"),
            ({"x_support": seen, "target_loss": 0.1, "rounds": 2}, "has to be measured between"),
        ):
            with pytest.raises(UserError, match=message):
                model.predict(key=jax.random.key(0), **wrong)
        with pytest.raises(UserError, match="maml model has a start of its own: leave start"):
            mole_jax.load(tmp_path, objective="maml").predict(
                seen, parameters=task, start_loss=0.5, key=jax.random.key(0)
            )
        with pytest.raises(UserError, match="maml model writes in one pass: leave steps out"):
            mole_jax.load(tmp_path, objective="maml", steps=3)
        with pytest.raises(
            UserError, match=r"no reptile model was trained in .*: its config asks for"
        ):
            mole_jax.load(tmp_path, objective="reptile")
        with pytest.warns(MoleWarning, match="pole_length: outside of the range of training"):
            far = np.concatenate([[9.0], task[1:]])
            mole_jax.load(tmp_path, objective="maml").predict(
                seen, parameters=far, key=jax.random.key(0)
            )
        with pytest.raises(UserError, match="does not practise in an environment: leave param"):
            model.predict(seen, parameters=task, key=jax.random.key(0))
        practising = mole_jax.load(tmp_path, objective="maml")
        nets = practising.predict(seen, parameters=task, n=2, key=jax.random.key(0))
        weights = np.stack([x.reshape(2, -1)[:, 0] for x in jax.tree.leaves(nets.params)])
        assert np.isfinite(weights).all() and np.ptp(weights, axis=1).max() > 0
        for given, message in ((None, "practises in the environment: give its parameters, pole_le"),
                               (task[:3], "must be 6 numbers")):  # fmt: skip
            with pytest.raises(UserError, match=message):
                practising.predict(seen, parameters=given, key=jax.random.key(0))
