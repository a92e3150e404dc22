"""A meta-model's training data from an imported zoo."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from sklearn.datasets import load_digits

from mole_jax.core.errors import UserError
from mole_jax.interop.lmdb.import_lmdb import LmdbOptions, import_gpt
from mole_jax.training import data as data_lib
from mole_jax.training import pairs
from mole_jax.training.pairs import PairConfig
from mole_jax.zoo.making.generation import generate
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.store import ZooWriter
from tests import tiny
from tests.interop.lmdb import gpt_data


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    path = tmp_path_factory.mktemp("workdir") / "zoo"
    import_gpt(gpt_data.EXAMPLE, path, LmdbOptions("mlp:64,8,5", metric="avg_train_loss"))
    return open_zoo(path)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ConfigDict:
    """The experiment that the example belongs to: the digits 0-4, one task."""
    digits = load_digits()
    known = digits.target < 5
    file = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(file, image=digits.images[known].astype("f4") / 16, label=digits.target[known])
    return tiny.tiny_config(
        data__source=f"npz:{file}",
        data__classes_per_subset=5,
        data__train_subsets=1,
        data__held_out_subsets=0,
        network__hidden=(8,),
        training__permute_labels=0.0,
        training__permute_units=False,
    )


def test_pairs_are_snapshots_of_one_run_with_the_metric_that_was_chosen(
    zoo: Zoo, config: ConfigDict
) -> None:
    family = data_lib.checked_family(config, zoo)
    found = data_lib.read(zoo, family, "device")
    assert "lowest avg train loss of a run" in data_lib.describe(found)
    losses = zoo.metric("avg_train_loss")  # each tells which run and which snapshot it is
    np.testing.assert_allclose(found.arrays.metric, losses, rtol=1e-6)
    data, rules = family.device_data, PairConfig.of(config)
    with tiny.quick_compilation():
        batch = jax.jit(
            lambda key: pairs.draw(
                rules, family.network, found.arrays, data, found.normaliser, key, 16
            )
        )(jax.random.key(0))
    flat = zoo.parameters()
    targets = np.asarray(found.normaliser.denormalise(batch.target))
    starts = np.asarray(found.normaliser.denormalise(batch.prompt.start))

    def place(metric: float) -> tuple[int, int]:
        ((run, snapshot),) = np.argwhere(np.isclose(losses, metric, rtol=1e-6)).tolist()
        return run, snapshot

    for i in range(16):
        run, start = place(batch.prompt.start_metric[i])
        same, target = place(batch.prompt.target_metric[i])
        assert run == same and start < target
        np.testing.assert_allclose(starts[i], flat[run, start], atol=1e-5)
        np.testing.assert_allclose(targets[i], flat[run, target], atol=1e-5)


def test_the_zoo_stage_takes_an_imported_zoo_as_it_is(
    zoo: Zoo, config: ConfigDict, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (zoo.path / "zoo.json").read_bytes()
    generate(config, zoo.path.parent)
    assert "imported, with 4 runs" in capsys.readouterr().out
    assert (zoo.path / "zoo.json").read_bytes() == before


def test_an_imported_zoo_of_other_networks_or_of_an_unfinished_import_is_refused(
    zoo: Zoo, config: ConfigDict, tmp_path: Path
) -> None:
    other = tiny.tiny_config()
    with pytest.raises(UserError, match="holds networks of D = 565"):
        generate(other, zoo.path.parent)
    schema = zoo.schema
    provenance = {k: v for k, v in schema.provenance.items() if k != "import_finished"}
    ZooWriter.create(tmp_path / "zoo", dataclasses.replace(schema, provenance=provenance))
    with pytest.raises(UserError, match="was interrupted"):
        generate(config, tmp_path)
