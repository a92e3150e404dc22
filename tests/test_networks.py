"""Every registered classifier goes through the whole line, from its zoo to its report."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

import mole_jax
from mole_jax import main as command
from mole_jax.core import mesh as mesh_lib
from mole_jax.core import stages
from mole_jax.core.files import read_json
from mole_jax.tasks import networks
from mole_jax.zoo.verify import verify
from tests import tiny
from tests.evaluation.conftest import SETTINGS

CHANGES = {
    "mlp": {"network__hidden": (6, 5)},
    "cnn": {"network__channels": (3, 4), "network__strides": (2, 2), "network__norm_groups": 1},
    "vit": {"network__width": 6, "network__layers": 1, "network__mlp": 5},
}


def test_every_classifier_is_tried_here() -> None:
    assert set(CHANGES) == set(networks.CLASSIFIERS)


@pytest.mark.parametrize("name", networks.CLASSIFIERS)
def test_from_zoo_to_report(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SETTINGS | {
        "network__name": name,
        "training__steps": 2,
        "training__regression_steps": 1,
        "training__warmup_steps": 1,
        "training__steps_per_dispatch": 1,
        "training__permute_units": True,
        "metamodel__descents": 1,
        "sampling__steps": 2,
    }
    config = tiny.tiny_config(**settings, **CHANGES[name])
    # Eight virtual devices on few cores would only get in each other's way.
    monkeypatch.setattr(mesh_lib, "make_mesh", lambda: tiny.mesh_of(1))
    with tiny.quick_compilation():
        stages.run(tmp_path, command.STAGES, ["zoo", "train", "evaluate", "report"], config)
        assert verify(tmp_path / "zoo") == []
        result = read_json(tmp_path / "report" / "evaluation.json")
        assert set(result["splits"]) == {"S0", "S1"}
        assert np.isfinite(result["splits"]["S1"]["generated"]["mean"])
        assert (tmp_path / "report" / "index.html").stat().st_size > 10_000

        images, labels = load_digits(return_X_y=True)
        mine = labels < 3
        model = mole_jax.load(tmp_path)
        nets = model.predict(
            images[mine][:20], labels[mine][:20], target_loss=0.1, n=2, key=jax.random.key(0)
        )
        assert nets.apply(images[mine][20:30]).shape == (2, 10, 3)
        assert np.isfinite(nets.predicted_metric).all()
