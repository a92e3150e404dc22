"""Wherever the zoo is kept, the same steps draw the same pairs, and training ends the same."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import chex
import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.learners import registry
from mole_jax.representation.fitted import Fitted
from mole_jax.tasks.family import TaskFamily
from mole_jax.training import data as data_lib
from mole_jax.training import feeding, loop, pairs
from mole_jax.training.data import TrainingRuns
from mole_jax.training.feeding import RowFeed
from mole_jax.training.pair_source import PairSource, pairs_key
from mole_jax.training.pairs import PairConfig
from mole_jax.zoo.making import generation
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from tests import tiny

ROOT = rng.named(rng.key(3), "train diffusion")


@pytest.fixture(scope="module")
def config() -> ConfigDict:
    return tiny.tiny_config(
        training__steps=6,
        training__steps_per_dispatch=3,
        training__best_prompts=0.5,
        zoo__runs_per_chunk=2,
        metamodel__probes=0,  # which take long to compile
        metamodel__inner_steps=0,
    )


@pytest.fixture(scope="module")
def zoo(config: ConfigDict, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    workdir = tmp_path_factory.mktemp("work")
    generation.generate(config, workdir)
    return open_zoo(workdir / "zoo")


@pytest.fixture(scope="module")
def placed(config: ConfigDict, zoo: Zoo) -> dict[str, TrainingRuns]:
    family = data_lib.checked_family(config, zoo)
    return {name: data_lib.read(zoo, family, name) for name in data_lib.PLACEMENTS}


@pytest.fixture(scope="module")
def family(config: ConfigDict, zoo: Zoo) -> TaskFamily:
    return data_lib.checked_family(config, zoo)


def source_of(runs: TrainingRuns, config: ConfigDict, family: TaskFamily) -> PairSource:
    return PairSource(
        PairConfig.of(config),
        config.training.batch_size,
        family.network,
        runs.normaliser,
        family.device_data,
        runs.arrays,
        runs,
    )


def feed_of(
    runs: TrainingRuns, config: ConfigDict, n_devices: int = 1, first: int = 0, last: int = 6
) -> RowFeed:
    return RowFeed(
        runs.arrays,
        runs,
        PairConfig.of(config),
        functools.partial(pairs_key, ROOT),
        config.training.batch_size,
        tiny.mesh_of(n_devices),
        first,
        last,
        steps_ahead=4,
    )


def test_all_placements_normalise_alike(placed: dict[str, TrainingRuns]) -> None:
    device, host, stream = (placed[name] for name in ("device", "host", "stream"))
    for other in (host, stream):
        chex.assert_trees_all_equal(device.normaliser, other.normaliser)
        chex.assert_trees_all_equal(device.arrays._replace(parameters=None), other.arrays)
    assert host.kept is not None
    assert device.kept is stream.kept is None


@pytest.mark.parametrize("name", ["host", "stream"])
@pytest.mark.parametrize("n_devices", [1, 4])
def test_the_same_steps_draw_the_same_pairs(
    name: str,
    n_devices: int,
    placed: dict[str, TrainingRuns],
    config: ConfigDict,
    family: TaskFamily,
) -> None:
    device = placed["device"]
    source = source_of(device, config, family)
    draw = jax.jit(lambda step, drawn: source.draw(source.constants, drawn, ROOT, step))
    batch, mesh = config.training.batch_size, tiny.mesh_of(n_devices)
    with feed_of(placed[name], config, n_devices, first=2) as feed:
        for first, stop in ((2, 5), (5, 6)):  # going on from step 2
            drawn = feed.take(first, stop)
            expected = feeding.like(placed[name].arrays, placed[name], batch, mesh, stop - first)
            chex.assert_trees_all_equal_shapes_and_dtypes(drawn, expected)
            for step in range(first, stop):
                found, expected = (draw(step, arrays) for arrays in (drawn, device.arrays))
                chex.assert_trees_all_equal(found, expected, strict=True)
        assert feed.waited > 0


def test_a_feed_from_the_device_gives_what_is_there(
    placed: dict[str, TrainingRuns], config: ConfigDict
) -> None:
    with feed_of(placed["device"], config) as feed:
        assert feed.resident
        assert feed.take(0, 5) is placed["device"].arrays
    assert feed.waited == 0


def test_steps_are_taken_in_order(placed: dict[str, TrainingRuns], config: ConfigDict) -> None:
    with feed_of(placed["host"], config) as feed, pytest.raises(ValueError, match="step to take"):
        feed.take(1, 3)
    with pytest.raises(ValueError, match="closed"):
        feed.take(0, 3)


def test_training_ends_the_same_wherever_the_zoo_is_kept(
    placed: dict[str, TrainingRuns], config: ConfigDict, family: TaskFamily, tmp_path: Path
) -> None:
    def trained(where: str) -> Any:
        runs = placed[where]
        learner = registry.build(config, family.network, "diffusion", Fitted(runs.normaliser, {}))
        source = source_of(runs, config, family)
        hyper = registry.train_config(config, "diffusion")
        return loop.fit(learner, hyper, source, ROOT, tmp_path / where, tiny.mesh_of(1)).params

    expected, host, stream = (trained(name) for name in ("device", "host", "stream"))
    chex.assert_trees_all_equal(host, stream, strict=True)
    # Another program than the one that gathers by itself, which may round in another way.
    chex.assert_trees_all_close(host, expected, rtol=1e-4, atol=3e-5)
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("device", "stream")]
    assert ["input_wait" in log for log in logs] == [False, True]


def test_parameters_of_16_bits_stay_so_on_the_host(tmp_path: Path) -> None:
    config = tiny.tiny_config(zoo__dtype="bfloat16")
    generation.generate(config, tmp_path)
    zoo = open_zoo(tmp_path / "zoo")
    family = data_lib.checked_family(config, zoo)
    device, host = (data_lib.read(zoo, family, name) for name in ("device", "host"))
    assert host.kept is not None
    assert host.kept.dtype.name == "bfloat16"
    chex.assert_trees_all_equal(device.normaliser, host.normaliser)
    with feed_of(host, config) as feed:
        rows = np.asarray(feed.take(0, 3).rows)
    key = pairs_key(ROOT, 2)
    run, start, target = pairs.choose(
        PairConfig.of(config), host.arrays.metric, key, config.training.batch_size
    )
    np.testing.assert_array_equal(rows[2, :, 0], device.arrays.parameters[run, start])
    np.testing.assert_array_equal(rows[2, :, 1], device.arrays.parameters[run, target])


def test_damage_is_said_when_it_is_met(placed: dict[str, TrainingRuns], config: ConfigDict) -> None:
    path = placed["stream"].zoo.path
    file = path / "parameters/c/0/0/0"
    whole = file.read_bytes()
    try:
        with feed_of(placed["stream"], config, last=2):
            pass
        file.write_bytes(whole[:100])
        with pytest.raises(UserError, match="shard of runs"):
            feed_of(placed["stream"], config)
        file.write_bytes(bytes(byte ^ 1 for byte in whole[:-2100]) + whole[-2100:])
        with (
            feed_of(placed["stream"], config) as feed,
            pytest.raises(UserError, match=r"chunk of runs .* is corrupt"),
        ):
            feed.take(0, 6)
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize(
    ("dtype", "gb", "device_gb", "expected"),
    [
        ("float32", 0.0, 100.0, "device"),
        ("float32", 1e-4, 100.0, "stream"),  # 16 runs x 5 snapshots x 417 parameters: 0.13 MB
        ("float32", 0.0, 1e-6, "host"),
        ("bfloat16", 1e-4, 100.0, "host"),  # fits in half the space
        ("bfloat16", 1e-5, 100.0, "stream"),
    ],
)
def test_the_placement_follows_from_sizes(
    zoo: Zoo,
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
    gb: float,
    device_gb: float,
    expected: str,
) -> None:
    class Device:
        def memory_stats(self) -> dict[str, int]:
            return {"bytes_limit": int(device_gb * 2**30)}

    zoo = dataclasses.replace(zoo, schema=dataclasses.replace(zoo.schema, dtype=dtype))
    values = 16 * len(zoo.steps) * zoo.schema.spec.size
    assert 2 * values < 1e-4 * 2**30 < 4 * values
    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    settings = {"zoo": {"placement": "auto", "memory_gb": gb}}
    placement, why = data_lib.choose_placement(settings, zoo)
    assert placement == expected
    assert "GiB" in why
    settings["zoo"]["placement"] = "stream"
    assert data_lib.choose_placement(settings, zoo)[0] == "stream"
