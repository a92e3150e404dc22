"""The zoo stage: splits, resuming, devices, and runs that are not finite."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage import files
from mole_jax.main import FOR_ZOO
from mole_jax.population import member, recipes, subset_runs
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import History
from mole_jax.tasks import family as families
from mole_jax.tasks.transformation import KINDS
from mole_jax.training import data as data_lib
from mole_jax.zoo.__main__ import main
from mole_jax.zoo.making import fill, generation
from mole_jax.zoo.rebuild import rebuild
from mole_jax.zoo.storage import usable
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.schema import RunBatch
from mole_jax.zoo.storage.store import ZooWriter
from mole_jax.zoo.storage.verify import verify
from tests import tiny


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


def everything(zoo: Zoo) -> dict[str, np.ndarray]:
    metrics = {name: zoo.metric(name) for name in zoo.schema.metrics}
    return {"parameters": zoo.parameters(), **metrics, **zoo.runs}


def same(a: Zoo, b: Zoo) -> bool:
    first, second = everything(a), everything(b)
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


@pytest.fixture(scope="module")
def config() -> ConfigDict:
    # 8 + 2 data subsets in groups of 3: the last group has one, of the held-out.
    return tiny.tiny_config(population__optimizers=("adam", "sgd"))


@pytest.fixture(scope="module")
def zoo(config: ConfigDict, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    workdir = tmp_path_factory.mktemp("work")
    generation.generate(config, workdir)
    return open_zoo(workdir / "zoo")


def test_every_data_subset_has_its_members(config: ConfigDict, zoo: Zoo) -> None:
    family = families.build(config)
    assert zoo.schema.tasks == family.subsets
    np.testing.assert_array_equal(zoo.runs["subset"], np.repeat(np.arange(10), 3))
    np.testing.assert_array_equal(zoo.runs["member"], np.tile(np.arange(3), 10))
    assert tuple(zoo.steps) == recipes.of(config.population, family.network).snapshot_steps
    assert zoo.parameters().shape == (30, len(zoo.steps), family.network.spec.size)
    assert zoo.runs["finite"].all()
    assert set(zoo.runs["optimizer"]) == {"adam", "sgd"}


def test_the_last_members_of_training_subsets_are_held_out_and_all_runs_of_unseen_ones(
    zoo: Zoo,
) -> None:
    unseen = np.array([task.split == "S1" for task in zoo.schema.tasks])[zoo.runs["subset"]]
    last = zoo.runs["member"] == 2
    np.testing.assert_array_equal(zoo.runs["split"] == "S1", unseen)
    np.testing.assert_array_equal(zoo.runs["split"] == "S0", ~unseen & last)
    np.testing.assert_array_equal(zoo.runs["split"] == "train", ~unseen & ~last)
    assert unseen.sum() == 6


def test_a_shared_start_is_of_the_training_runs_alone(
    config: ConfigDict, tmp_path: Path, zoo: Zoo
) -> None:
    with config.copy_and_resolve_references().unlocked() as changed:
        changed.population.shared_start = True
    generation.generate(changed.lock(), tmp_path)
    shared = open_zoo(tmp_path / "zoo")
    starts, before = shared.parameters()[:, 0], zoo.parameters()[:, 0]
    trained_on = shared.runs["split"] == "train"
    np.testing.assert_array_equal(trained_on, zoo.runs["split"] == "train")
    assert len(np.unique(starts[trained_on], axis=0)) == 1
    np.testing.assert_array_equal(starts[~trained_on], before[~trained_on])
    assert not (starts[trained_on][0] == before).all(1).any()
    ends = shared.parameters()[trained_on, -1]
    assert len(np.unique(ends, axis=0)) == len(ends)


def test_networks_learn_and_metrics_are_those_of_the_stored_parameters(
    config: ConfigDict, zoo: Zoo
) -> None:
    loss = zoo.metric("train_loss")
    assert np.median(loss[:, -1]) < 0.7 * np.median(loss[:, 0])
    family = families.build(config)
    runs, last = [0, 14, 29], -1
    for run in runs:
        task = jax.numpy.asarray(zoo.runs["subset"][run])
        found = member.evaluate(
            family.network,
            family.network.spec.unflatten(jax.numpy.asarray(zoo.parameters([run])[0, last])),
            family.device_data,
            task,
        )
        for name, value in found.items():
            np.testing.assert_allclose(zoo.metric(name, [run])[0, last], value, rtol=1e-4)


def test_transformed_tasks_are_stored_and_their_runs_can_be_trained_again(tmp_path: Path) -> None:
    """With more tasks than data subsets: there are ten ways to take nine classes."""
    kinds = {f"data__transform__{kind}": 0.5 for kind in KINDS}
    changed = tiny.tiny_config(
        **kinds, data__classes_per_subset=9, data__train_subsets=12, population__members=2
    )
    generation.generate(changed, tmp_path)
    zoo = open_zoo(tmp_path / "zoo")
    assert verify(zoo.path) == []
    tasks = zoo.schema.tasks
    train = [task for task in tasks if task.split == "train"]
    assert len({task.content for task in train}) == 8
    assert sum(task.transformation is not None for task in train) > 4
    assert all(task.transformation is None for task in tasks if task.split != "train")
    again = ConfigDict(zoo.schema.config)
    family = rebuild(again, zoo)
    row = next(i for i, task in enumerate(train) if task.transformation)
    _, history = subset_runs.train_subsets(again, family, np.array([row]), tiny.mesh_of(8))
    runs = np.flatnonzero(zoo.runs["subset"] == row)
    np.testing.assert_allclose(history.parameters[0], zoo.parameters(runs), atol=1e-5)


def test_a_resumed_zoo_is_the_uninterrupted_one(
    config: ConfigDict, zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = ZooWriter.commit

    def interrupted(writer: ZooWriter, n_runs: int) -> None:
        commit(writer, n_runs)
        raise KeyboardInterrupt

    for committed in (9, 18):
        with monkeypatch.context() as patch:
            patch.setattr(ZooWriter, "commit", interrupted)
            with pytest.raises(KeyboardInterrupt):
                generation.generate(config, tmp_path)
        assert open_zoo(tmp_path / "zoo").n_runs == committed
    generation.generate(config, tmp_path)
    assert same(open_zoo(tmp_path / "zoo"), zoo)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_parameters_of_16_bits_are_the_float32_ones_rounded(
    config: ConfigDict, zoo: Zoo, tmp_path: Path, dtype: str
) -> None:
    with config.copy_and_resolve_references().unlocked() as changed:
        changed.zoo.dtype = dtype
    generation.generate(changed.lock(), tmp_path)
    rounded = open_zoo(tmp_path / "zoo")
    expected = zoo.parameters().astype(dtype).astype(np.float32)
    assert not np.array_equal(expected, zoo.parameters())
    np.testing.assert_array_equal(rounded.parameters(), expected)
    others = everything(zoo) | {"parameters": expected}
    for name, values in everything(rounded).items():
        np.testing.assert_array_equal(values, others[name])
    assert verify(rounded.path) == []


def test_a_writer_that_fails_stops_the_training_and_leaves_what_is_committed(
    config: ConfigDict,
    zoo: Zoo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write, trained = ZooWriter.write, []

    def full(writer: ZooWriter, start: int, batch: RunBatch) -> None:
        if start == 9:
            raise ValueError("RESOURCE_EXHAUSTED: No space left on device")
        write(writer, start, batch)

    def train(*arguments: Any, real: Any = subset_runs.train_subsets) -> Any:
        trained.append(arguments[2].tolist())
        return real(*arguments)

    with monkeypatch.context() as patch, pytest.raises(ValueError, match="No space") as caught:
        patch.setattr(ZooWriter, "write", full)
        patch.setattr(subset_runs, "train_subsets", train)
        generation.generate(config, tmp_path)
    assert files.is_disk_full(caught.value)
    assert trained == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert open_zoo(tmp_path / "zoo").n_runs == 9
    generation.generate(config, tmp_path)
    said = capsys.readouterr().out
    assert re.search(r"training waited \d+\.\d s of \d+ s .* for the writer", said)
    assert same(open_zoo(tmp_path / "zoo"), zoo)


def test_a_finished_zoo_is_left_alone(
    config: ConfigDict, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(subset_runs, "train_subsets")
    generation.generate(config, zoo.path.parent)
    assert open_zoo(zoo.path).n_runs == 30


def test_a_zoo_of_another_config_is_refused(zoo: Zoo) -> None:
    with pytest.raises(UserError, match="another config"):
        generation.generate(tiny.tiny_config(seed=1), zoo.path.parent)


def test_one_device_and_eight_make_the_same_zoo(config: ConfigDict) -> None:
    family = families.build(config)
    subsets = np.array([0, 4, 9])
    hyper, one = subset_runs.train_subsets(config, family, subsets, tiny.mesh_of(1))
    other_hyper, eight = subset_runs.train_subsets(config, family, subsets, tiny.mesh_of(8))
    assert one.parameters.shape[:2] == (3, 3)
    assert tiny.equal_trees(hyper, other_hyper)
    np.testing.assert_allclose(one.parameters, eight.parameters, rtol=1e-4, atol=1e-5)
    for name, values in one.metrics.items():
        np.testing.assert_allclose(values, eight.metrics[name], rtol=1e-3, atol=1e-5)


def test_runs_depend_on_the_seed_the_subset_and_the_member(config: ConfigDict, zoo: Zoo) -> None:
    family = families.build(config)
    _, history = subset_runs.train_subsets(config, family, np.array([4]), tiny.mesh_of(1))
    np.testing.assert_allclose(history.parameters[0], zoo.parameters([12, 13, 14]), atol=1e-5)
    starts = zoo.parameters()[:, 0]
    assert len(np.unique(starts, axis=0)) == len(starts)


def test_runs_that_diverge_are_marked_counted_and_never_learnt_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny.tiny_config(
        population__optimizers=("sgd",), population__learning_rate=(1e-2, 1e30)
    )
    generation.generate(config, tmp_path)
    zoo = open_zoo(tmp_path / "zoo")
    finite = zoo.runs["finite"]
    n_failed = int(np.sum(~finite))
    assert 0 < n_failed < zoo.n_runs
    rate = zoo.runs["learning_rate"]
    assert rate[finite].min() < rate[~finite].min()
    assert f"failed={n_failed}" in capsys.readouterr().err
    normaliser, arrays = data_lib.load(zoo, families.build(config))
    assert len(arrays.parameters) == np.sum(finite & (zoo.runs["split"] == "train"))
    for leaf in jax.tree.leaves((normaliser, arrays)):
        assert np.isfinite(leaf).all()


def test_a_zoo_without_a_usable_run_is_refused(config: ConfigDict, zoo: Zoo) -> None:
    none = dataclasses.replace(zoo, runs={**zoo.runs, "finite": np.zeros(30, bool)})
    with pytest.raises(UserError, match="no finite training run"):
        data_lib.load(none, families.build(config))


def test_a_zoo_whose_runs_all_fail_is_never_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny.tiny_config(
        population__optimizers=("sgd",), population__learning_rate=(1e30, 1e30)
    )
    zoo_stage = stages.Stage("zoo", FOR_ZOO, generation.generate)
    message = "none of the 16 runs to train on can be used"
    for _ in range(2):  # the second time nothing is left to train
        with pytest.raises(UserError, match=message):
            stages.run(tmp_path, [zoo_stage], ["zoo"], config)
        assert not stages.is_done(tmp_path, "zoo")
    capsys.readouterr()
    assert main(["grow", str(tmp_path / "zoo"), "--members=3"]) == 2
    assert message in capsys.readouterr().err


def test_data_subsets_without_a_usable_run_are_named(zoo: Zoo) -> None:
    assert list(usable.lacking(zoo)) == []
    finite, first = zoo.runs["finite"].copy(), zoo.schema.tasks[0]
    seen = zoo.runs["split"] == "train"
    finite[zoo.runs["subset"] == 0] = False
    finite[zoo.runs["split"] == "S1"] = False
    some = dataclasses.replace(zoo, runs={**zoo.runs, "finite": finite})
    usable.check(some)
    trained, held_out = usable.lacking(some)
    assert trained == (
        f"1 of 8 data subsets have no usable run to train on and are left out, such as {first.id}"
    )
    assert held_out.startswith("2 of 2 data subsets have no usable run to evaluate on")
    none = dataclasses.replace(zoo, runs={**zoo.runs, "finite": finite & ~seen})
    with pytest.raises(UserError, match="none of the 16 runs"):
        usable.check(none)


def test_training_reads_the_training_runs_only(config: ConfigDict, zoo: Zoo) -> None:
    family = data_lib.checked_family(config, zoo)
    normaliser, arrays = data_lib.load(zoo, family)
    runs = zoo.select(split="train")
    np.testing.assert_allclose(
        normaliser.denormalise(arrays.parameters), zoo.parameters(runs), atol=1e-5
    )
    np.testing.assert_array_equal(arrays.metric, zoo.metric("validation_loss", runs))
    np.testing.assert_array_equal(arrays.task, zoo.runs["subset"][runs])
    assert "16 runs x" in data_lib.describe(data_lib.read(zoo, family, "device"))


def test_other_images_than_the_zoo_was_made_from_are_refused(zoo: Zoo) -> None:
    other = tiny.tiny_config(
        data__pools={"train": 0.4, "support": 0.2, "validation": 0.2, "test": 0.2}
    )
    with pytest.raises(UserError, match="other pools or data subsets"):
        data_lib.checked_family(other, zoo)


def test_runs_with_a_larger_weight_than_allowed_are_marked(config: ConfigDict, zoo: Zoo) -> None:
    family, subsets = families.build(config), np.array([0, 1])
    largest = np.abs(zoo.parameters(range(6))).max((1, 2))
    limit = float(np.median(largest))
    changed = config.copy_and_resolve_references()
    with changed.unlocked():
        changed.population.max_weight = limit
    history = History(
        zoo.parameters(range(6)).reshape(2, 3, len(zoo.steps), -1),
        {name: zoo.metric(name, range(6)).reshape(2, 3, -1) for name in zoo.schema.metrics},
    )
    hyper = Hyperparameters(*[np.zeros((2, 3))] * 3, np.zeros((2, 3), int))
    batch = fill.as_batch(changed, family, subsets, hyper, history)
    np.testing.assert_array_equal(batch.finite, largest <= limit)
    assert fill.as_batch(config, family, subsets, hyper, history).finite.all()


def test_keys_that_zoos_of_before_had_not_are_named_only_where_they_say_something(
    config: ConfigDict,
) -> None:
    family = families.build(config)
    stored = generation.make_schema(config, family).to_json()["config"]
    own = [key.split(".") for key in compat.DEFAULTS]
    assert not [name for section, name in own if name in stored.get(section, {})]
    changed = tiny.tiny_config(population__max_weight=10.0)
    assert generation.make_schema(changed, family).config["population"]["max_weight"] == 10.0
