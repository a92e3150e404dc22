"""A live zoo: what its buffer holds depends on the step alone, and nothing held out is in it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from mole_jax.core.devices import distributed
from mole_jax.core.errors import UserError
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.core.storage.writers import MetricWriter
from mole_jax.learners import meta_training, stored
from mole_jax.population import subset_runs
from mole_jax.tasks import family as families
from mole_jax.training import data as data_lib
from mole_jax.training import live
from mole_jax.training.live import LiveFeed, LiveSchedule, LiveZoo
from mole_jax.training.pairs import ZooArrays
from mole_jax.validate import validate
from mole_jax.zoo.making import generation
from mole_jax.zoo.storage.reader import open_zoo
from tests import tiny

STORED = 16  # 8 training data subsets x 2 members that are not held out


@pytest.fixture(scope="module")
def config() -> ConfigDict:
    return tiny.tiny_config(
        zoo__live=True,
        zoo__live_every=5,
        zoo__live_refresh=3,
        training__best_prompts=0.3,
        metamodel__probes=0,  # which take long to compile
        metamodel__inner_steps=0,
    )


@pytest.fixture(scope="module")
def workdir(config: ConfigDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("work")
    generation.generate(config, workdir)
    return workdir


def open_live(config: ConfigDict, workdir: Path, n_devices: int = 1, **changes: Any) -> LiveZoo:
    zoo = open_zoo(workdir / "zoo")
    family = data_lib.checked_family(config, zoo)
    runs = data_lib.read(zoo, family, "host")
    found = live.make(config, family, runs, tiny.mesh_of(n_devices))
    return dataclasses.replace(found, schedule=dataclasses.replace(found.schedule, **changes))


@pytest.fixture(scope="module")
def zoo(config: ConfigDict, workdir: Path) -> LiveZoo:
    return open_live(config, workdir)


def buffer_at(zoo: LiveZoo, steps: list[int], n_devices: int = 1) -> ZooArrays:
    """The buffer at the last of the steps, after dispatches that began at the others."""
    with LiveFeed(zoo, tiny.mesh_of(n_devices)) as feed:
        for step in steps:
            taken = feed.take(step, step + 5)
        return jax.tree.map(np.array, taken)


def test_no_run_comes_twice_and_every_subset_once_a_round(zoo: LiveZoo) -> None:
    schedule = dataclasses.replace(zoo.schedule, refresh=4)
    groups = [schedule.group(i) for i in range(6)]
    runs = {(int(subset), member) for subsets, member in groups for subset in subsets}
    train_subsets = zoo.family.indices("train")
    assert runs == {(int(subset), member) for subset in train_subsets for member in (3, 4, 5)}
    firsts = [tuple(groups[i][0]) for i in (0, 2, 4)]
    assert len(set(firsts)) == 3  # the order of rounds differs
    # Three of eight do not come out even: a round leaves two data subsets out.
    odd = zoo.schedule
    assert [odd.group(i)[1] for i in range(5)] == [3, 3, 4, 4, 5]
    assert all(len(set(odd.group(i)[0])) == 3 for i in range(5))


def test_groups_go_where_the_oldest_runs_are() -> None:
    schedule = LiveSchedule(
        0, np.arange(8), stored=10, capacity=14, refresh=3, every=5, first_member=3
    )
    assert [schedule.made(step) for step in (0, 4, 5, 14, 15)] == [2, 2, 3, 4, 5]
    ages = np.arange(14) - 14  # when each place was written, all before group 0
    ages[10:] = -100  # what was never written goes first
    for number in range(12):
        places = schedule.places(number)
        oldest = np.argsort(ages, kind="stable")[:3]
        np.testing.assert_array_equal(np.sort(places), np.sort(oldest))
        ages[places] = 10 * number + np.arange(3)


def test_a_buffer_begins_with_the_stored_runs(zoo: LiveZoo) -> None:
    found = buffer_at(zoo, [0])
    runs, arrays = zoo.runs, zoo.runs.arrays
    assert runs.kept is not None
    expected = np.asarray(runs.normaliser.normalise(runs.kept))
    order = np.argsort(found.metric[:, -1])
    by_metric = np.argsort(np.asarray(arrays.metric)[:, -1])
    np.testing.assert_allclose(found.parameters[order], expected[by_metric], atol=1e-6)
    np.testing.assert_array_equal(found.task[order], np.asarray(arrays.task)[by_metric])
    like = zoo.like(tiny.mesh_of(1))
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(like), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)


def test_new_runs_are_those_that_a_larger_zoo_would_store(
    zoo: LiveZoo, config: ConfigDict, workdir: Path
) -> None:
    before, after = buffer_at(zoo, [0]), buffer_at(zoo, [10])
    new = np.concatenate([zoo.schedule.places(0), zoo.schedule.places(1)])
    old = np.setdiff1d(np.arange(STORED), new)
    for x, y in zip(before, after, strict=True):
        if x is not None:
            np.testing.assert_array_equal(x[old], y[old])
    for number in (0, 1):
        subsets, member = zoo.schedule.group(number)
        for place, subset in zip(zoo.schedule.places(number), subsets, strict=True):
            _, history = subset_runs.train_subsets(
                config, zoo.family, np.array([subset]), tiny.mesh_of(1), np.array([member])
            )
            alone = zoo.runs.normaliser.normalise(history.parameters[0, 0])
            np.testing.assert_allclose(after.parameters[place], alone, atol=1e-4)
            loss = history.metrics["validation_loss"][0, 0]
            np.testing.assert_allclose(after.metric[place], loss, rtol=1e-4)
            assert after.task[place] == subset


@pytest.mark.parametrize("capacity", [STORED, STORED + 7])
def test_a_buffer_depends_on_the_step_alone(
    zoo: LiveZoo, capacity: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where runs diverge, which leave what was in their place, however old."""
    zoo = dataclasses.replace(zoo, schedule=dataclasses.replace(zoo.schedule, capacity=capacity))
    shape = (3, *zoo.runs.arrays.metric.shape[1:])

    def made_up(zoo: LiveZoo, number: int, mesh: Any) -> tuple[ZooArrays, jax.Array]:
        fresh = ZooArrays(
            jnp.full((*shape, zoo.family.network.spec.size), 100.0 + number),
            jnp.full(shape, float(number)),
            jnp.asarray(zoo.schedule.group(number)[0], jnp.int32),
        )
        return fresh, (jnp.arange(3) + number) % 3 > number % 2

    monkeypatch.setattr(live, "train_group", made_up)
    steps = list(range(0, 75, 5))
    whole = buffer_at(zoo, steps)
    for first in (5, 35, 70):
        again = buffer_at(zoo, [step for step in steps if step >= first])
        assert tiny.equal_trees(again, whole)
    newest = whole.metric[zoo.schedule.places(zoo.schedule.made(70) - 1)][:, 0]
    assert zoo.schedule.made(70) - 1 in newest
    assert len(np.unique(whole.metric[:, 0])) > 5


def test_diverged_runs_are_left_out_and_counted(
    zoo: LiveZoo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = subset_runs.train_subsets

    def second_diverges(*arguments: Any) -> Any:
        hyper, history = trained(*arguments)
        metrics = dict(history.metrics)
        metrics["test_loss"] = metrics["test_loss"].at[1, 0, -1].set(jnp.inf)
        parameters = history.parameters.at[2, 0, 1, 7].set(jnp.nan)
        return hyper, history._replace(metrics=metrics, parameters=parameters)

    monkeypatch.setattr(subset_runs, "train_subsets", second_diverges)
    _, finite = live.train_group(zoo, 0, tiny.mesh_of(1))
    np.testing.assert_array_equal(finite, [True, False, False])
    before, after = buffer_at(zoo, [0]), buffer_at(zoo, [0, 5])
    assert capsys.readouterr().out.endswith("; 2 runs were not finite and left out\n")
    changed = (before.parameters != after.parameters).any((1, 2))
    np.testing.assert_array_equal(np.flatnonzero(changed), zoo.schedule.places(0)[:1])


def test_one_device_and_eight_hold_the_same_runs(config: ConfigDict, workdir: Path) -> None:
    one, eight = (buffer_at(open_live(config, workdir, n), [5], n_devices=n) for n in (1, 8))
    np.testing.assert_allclose(one.parameters, eight.parameters, atol=1e-4)
    np.testing.assert_array_equal(one.task, eight.task)


def test_runs_are_replaced_between_dispatches(zoo: LiveZoo) -> None:
    with LiveFeed(zoo, tiny.mesh_of(1)) as feed:
        with pytest.raises(ValueError, match="replaced between"):
            feed.take(0, 6)
        feed.take(5, 10)
        assert feed.waited > 0
        with pytest.raises(ValueError, match="step 0 has been taken"):
            feed.take(0, 5)


def log(workdir: Path) -> list[dict[str, Any]]:
    text = (workdir / "train" / "diffusion" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    timed = ("input_wait", "steps_per_second", "tokens_per_second")
    return [{k: v for k, v in line.items() if k not in timed} for line in lines]


def parameters_of(config: ConfigDict, workdir: Path) -> Any:
    network = data_lib.checked_family(config, open_zoo(workdir / "zoo")).network
    return stored.load(workdir, config, network, "diffusion").theta


def test_a_resumed_training_goes_on_with_the_same_numbers(
    config: ConfigDict,
    workdir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "zoo").symlink_to(workdir / "zoo")
    one = {"data": 1}
    monkeypatch.setattr(meta_training.mesh_lib, "make_mesh", lambda shape=None: tiny.mesh_of(1))
    meta_training.train(config, tmp_path / "whole", one)
    said = [x for x in capsys.readouterr().out.splitlines() if x.startswith("live zoo: step")]
    assert [line.split()[3] for line in said] == ["5:", "10:", "15:"]
    assert all("3 new runs" in line for line in said)

    write = MetricWriter.write

    def interrupted(writer: MetricWriter, step: int, scalars: dict[str, float]) -> None:
        write(writer, step, scalars)
        if step == 15:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MetricWriter, "write", interrupted)
        meta_training.train(config, tmp_path / "broken", one)
    with Checkpoints(tmp_path / "broken" / "train" / "diffusion" / "checkpoints") as checkpoints:
        assert checkpoints.latest_step() == 10
    capsys.readouterr()
    meta_training.train(config, tmp_path / "broken", one)
    said = capsys.readouterr().out
    assert "live zoo: step 10: 6 new runs" in said  # trained again
    assert "live zoo: step 15: 3 new runs" in said
    found, expected = (parameters_of(config, tmp_path / name) for name in ("broken", "whole"))
    assert tiny.equal_trees(found, expected)
    assert log(tmp_path / "broken") == log(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"zoo__live_every": 7}, "live_every"),  # dispatches of 5
        ({"zoo__live_every": 0}, "live_every"),
        ({"zoo__live_refresh": 0}, "live_refresh"),
        ({"zoo__live_refresh": 9}, "live_refresh"),  # of 8 data subsets
        ({"zoo__live_runs": STORED - 1}, "live_runs"),
        ({"zoo__placement": "stream"}, "placement"),
        ({"zoo__memory_gb": 1e-5}, "memory_gb"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], key: str) -> None:
    good: dict[str, Any] = {"zoo__live": True, "zoo__live_every": 5, "zoo__live_refresh": 8}
    validate(tiny.tiny_config(**good))
    with pytest.raises(UserError, match=rf"zoo\.{key}=") as refused:
        validate(tiny.tiny_config(**(good | changes)))
    assert len(str(refused.value)) < 300
    validate(tiny.tiny_config(**(good | changes | {"zoo__live": False})))


def test_several_processes_are_refused(config: ConfigDict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "count", lambda: 2)
    with pytest.raises(UserError, match=r"zoo\.live is for one process, but there are 2"):
        live.check(config, families.build(config))
