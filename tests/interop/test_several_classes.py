"""A zoo of tasks with two and three classes: its networks go out with as many outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.interop.export_network import export_network
from mole_jax.interop.lmdb.export_lmdb import export_gpt
from mole_jax.interop.network_files import load_network
from mole_jax.tasks import networks
from mole_jax.tasks.subsets import DataSubset
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter

SECTION = {"name": "mlp", "hidden": (4,), "activation": "relu"}
NETWORK = networks.build(SECTION, (2, 2, 1), 3)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    schema = ZooSchema(
        name="made up",
        spec=NETWORK.spec,
        network=networks.to_json(SECTION, NETWORK),
        steps=(0, 10),
        metrics=("validation_loss",),
        tasks=(
            DataSubset("digits-2of10-0.1", (0, 1), "train"),
            DataSubset("digits-3of10-0.1.2", (0, 1, 2), "train"),
        ),
        splits={},
        config={},
        provenance={},
        hyperparameters=(),
    )
    rng = np.random.default_rng(0)
    batch = RunBatch(
        parameters=rng.normal(size=(2, 2, NETWORK.spec.size)).astype(np.float32),
        metrics={"validation_loss": np.ones((2, 2), np.float32)},
        subset=np.arange(2),
        split=["train"] * 2,
        member=np.zeros(2, int),
        seed=np.zeros(2, int),
        finite=np.ones(2, bool),
        hyperparameters={},
    )
    ZooWriter.create(tmp_path / "zoo", schema).append(batch)
    return tmp_path / "zoo"


def test_a_network_goes_out_with_the_outputs_of_its_task(zoo: Path, tmp_path: Path) -> None:
    found = {}
    for run, k in (("0", 2), ("1", 3)):
        export_network(str(zoo), run, -1, str(tmp_path / f"{run}.safetensors"))
        found[k] = load_network(tmp_path / f"{run}.safetensors")
        assert found[k].network.n_outputs == found[k].card["network"]["outputs"] == k
        assert found[k].params["output"]["kernel"].shape == (4, k)
    assert found[2].card["task"]["classes"] == [0, 1]


def test_a_format_that_cannot_say_which_outputs_count_refuses(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tasks with fewer classes than networks have outputs"):
        export_gpt(zoo, tmp_path / "out")
    assert not (tmp_path / "out").exists()
