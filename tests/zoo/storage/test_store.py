"""What is appended is what is read; a kill anywhere leaves the zoo of the last finished append."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import zarr

from mole_jax.core.errors import UserError
from mole_jax.zoo.storage import store
from mole_jax.zoo.storage.reader import open_zoo
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter
from mole_jax.zoo.storage.verify import verify
from tests.tiny import hashes

Make = Callable[..., ZooSchema]
MakeBatch = Callable[..., RunBatch]


def part(batch: RunBatch, start: int, stop: int) -> RunBatch:
    values = {}
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, dict):
            values[field.name] = {name: array[start:stop] for name, array in value.items()}
        else:
            values[field.name] = value[start:stop]
    return RunBatch(**values)


def assert_holds(path: Path, batch: RunBatch) -> None:
    zoo = open_zoo(path)
    assert zoo.n_runs == len(batch.subset)
    np.testing.assert_array_equal(zoo.parameters(), batch.parameters)
    for name, values in batch.metrics.items():
        np.testing.assert_array_equal(zoo.metric(name), values)
    for name in ("subset", "split", "member", "seed", "finite"):
        np.testing.assert_array_equal(zoo.runs[name], getattr(batch, name))
    for name, values in batch.hyperparameters.items():
        np.testing.assert_array_equal(zoo.runs[name], values)
    assert verify(path) == []


# Within a shard and a chunk, at their borders, and over several shards at once.
@pytest.mark.parametrize("sizes", [[19], [8, 8], [1, 1, 1], [3, 5, 2, 9], [7, 0, 1, 11]])
def test_appends_of_any_size(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch, sizes: Sequence[int]
) -> None:
    batch = make_batch(sum(sizes))
    writer = ZooWriter.create(tmp_path / "zoo", make_schema())
    done = 0
    for size in sizes:
        writer.append(part(batch, done, done + size))
        done += size
        assert writer.n_runs == done
    assert_holds(tmp_path / "zoo", batch)


def test_an_empty_zoo_is_a_zoo(tmp_path: Path, make_schema: Make, make_batch: MakeBatch) -> None:
    ZooWriter.create(tmp_path, make_schema())
    assert_holds(tmp_path, part(make_batch(1), 0, 0))


def test_values_equal_to_the_fill_value_are_stored(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch
) -> None:
    batch = make_batch(8)
    nothing = np.full_like(batch.parameters, np.nan)
    batch = dataclasses.replace(batch, parameters=nothing, finite=np.zeros(8, bool))
    ZooWriter.create(tmp_path, make_schema()).append(batch)
    assert_holds(tmp_path, batch)


@pytest.mark.parametrize(
    ("dtype", "read"),
    [("bfloat16", "float32"), ("float16", "float32"), ("float64", "float64")],
)
def test_other_dtypes(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch, dtype: str, read: str
) -> None:
    schema = make_schema(dtype=dtype)
    batch = make_batch(13, schema=schema)
    assert batch.parameters.dtype.name == dtype
    ZooWriter.create(tmp_path, schema).append(part(batch, 0, 5))
    ZooWriter.open(tmp_path, schema).append(part(batch, 5, 13))
    for runs in (None, [3, 1], []):
        assert open_zoo(tmp_path).parameters(runs).dtype == read
    assert_holds(tmp_path, batch)
    file = tmp_path / "parameters/c/0/0/0"
    values = 8 * len(schema.steps) * schema.spec.size * np.dtype(dtype).itemsize
    assert values * 0.8 < file.stat().st_size < values * 1.2 + 16 * 4 + 4


def test_the_zarr_package_reads_all_but_parameters_of_bfloat16(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch
) -> None:
    schema = make_schema(dtype="bfloat16")
    batch = make_batch(5, schema=schema)
    ZooWriter.create(tmp_path, schema).append(batch)
    group = zarr.open_group(tmp_path, mode="r")
    np.testing.assert_array_equal(group["metrics/train_loss"][:], batch.metrics["train_loss"])
    np.testing.assert_array_equal(group["runs/seed"][:], batch.seed)
    with pytest.raises(ValueError, match="bfloat16"):
        group["parameters"]


def test_reopened_writer_goes_on(tmp_path: Path, make_schema: Make, make_batch: MakeBatch) -> None:
    batch = make_batch(13)
    ZooWriter.create(tmp_path, make_schema()).append(part(batch, 0, 5))
    writer = ZooWriter.open(tmp_path, make_schema(provenance={"mole": "another day"}))
    assert writer.n_runs == 5
    writer.append(part(batch, 5, 13))
    assert_holds(tmp_path, batch)
    assert open_zoo(tmp_path).schema.provenance["mole"] == "0.1.0"


def test_kill_before_the_commit_leaves_the_former_runs(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch(21)
    writer = ZooWriter.create(tmp_path, make_schema())
    writer.append(part(batch, 0, 5))

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(store, "commit", kill)
        writer.append(make_batch(14, seed=1))
    assert writer.n_runs == 5
    assert_holds(tmp_path, part(batch, 0, 5))

    # The next append is shorter than what the killed one left behind, and replaces it.
    writer = ZooWriter.open(tmp_path, make_schema())
    writer.append(part(batch, 5, 8))
    assert_holds(tmp_path, part(batch, 0, 8))
    writer.append(part(batch, 8, 21))
    assert_holds(tmp_path, batch)


def test_commits_do_not_touch_what_never_changes(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch
) -> None:
    writer = ZooWriter.create(tmp_path, make_schema())
    before = (tmp_path / "zoo.json").stat()
    writer.append(make_batch(3))
    assert (tmp_path / "zoo.json").stat().st_ino == before.st_ino
    assert json.loads((tmp_path / "runs.json").read_text()) == {"n_runs": 3}


def test_rows_count_once_they_are_committed(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch
) -> None:
    batch = make_batch(13)
    writer = ZooWriter.create(tmp_path, make_schema())
    writer.reserve(13)
    other = ZooWriter.open(tmp_path)
    other.write(8, part(batch, 8, 13))
    writer.write(0, part(batch, 0, 8))
    assert_holds(tmp_path, part(batch, 0, 0))
    writer.commit(13)
    assert_holds(tmp_path, batch)


def test_a_failing_write_is_said_and_leaves_the_former_runs(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch
) -> None:
    batch = make_batch(8)
    writer = ZooWriter.create(tmp_path, make_schema())
    writer.append(part(batch, 0, 8))
    block = tmp_path / "runs" / "seed" / "c" / "1"
    block.mkdir()  # where a shard's file should go
    with pytest.raises(ValueError, match="runs/seed"):
        writer.append(part(batch, 0, 3))
    assert writer.n_runs == 8
    assert_holds(tmp_path, batch)
    block.rmdir()
    writer.append(part(batch, 0, 3))
    assert open_zoo(tmp_path).n_runs == 11


def test_a_zoo_of_version_1_is_read_but_not_appended_to(stored: tuple[Path, RunBatch]) -> None:
    path, batch = stored
    (path / "runs.json").unlink()
    manifest = json.loads((path / "zoo.json").read_text())
    (path / "zoo.json").write_text(json.dumps(manifest | {"version": 1, "n_runs": 19}))
    assert_holds(path, batch)
    with pytest.raises(UserError, match="appends to version 2"):
        ZooWriter.open(path)


def test_kill_between_arrays_leaves_the_former_runs(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch(12)
    writer = ZooWriter.create(tmp_path, make_schema())
    writer.append(part(batch, 0, 5))
    begun: list[None] = []

    def dies_at_the_third(*, real: Callable[[], object] = store.ts.Transaction) -> object:
        begun.append(None)
        if len(begun) == 3:
            raise RuntimeError("killed")
        return real()

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(store.ts, "Transaction", dies_at_the_third)
        writer.append(make_batch(7, seed=1))
    assert_holds(tmp_path, part(batch, 0, 5))
    ZooWriter.open(tmp_path).append(part(batch, 5, 12))
    assert_holds(tmp_path, batch)


def test_a_creation_that_was_killed_is_made_again(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch
) -> None:
    ZooWriter.create(tmp_path, make_schema(runs_per_shard=4))
    (tmp_path / "zoo.json").unlink()
    batch = make_batch(3, seed=1)
    ZooWriter.create(tmp_path, make_schema()).append(batch)
    assert_holds(tmp_path, batch)


def test_a_zoo_is_not_made_over_another(tmp_path: Path, make_schema: Make) -> None:
    ZooWriter.create(tmp_path, make_schema())
    with pytest.raises(UserError, match="holds a zoo already"):
        ZooWriter.create(tmp_path, make_schema())


def test_a_batch_that_does_not_fit_writes_nothing(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch
) -> None:
    batch = make_batch(5)
    writer = ZooWriter.create(tmp_path, make_schema())
    writer.append(batch)
    with pytest.raises(ValueError, match="subset 7"):
        writer.append(dataclasses.replace(batch, subset=np.full(5, 7)))
    assert_holds(tmp_path, batch)


def test_a_contradictory_schema_is_refused(tmp_path: Path, make_schema: Make) -> None:
    tasks = make_schema().tasks
    with pytest.raises(ValueError, match="there twice"):
        ZooWriter.create(tmp_path, make_schema(tasks=(*tasks, tasks[0])))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"steps": (0, 10, 50)}, "steps"),
        ({"metrics": ("train_loss",)}, "metrics"),
        (
            {"config": {"population": {"members": 8}, "seed": 0}},
            "config.population.members: 4 -> 8",
        ),
        ({"config": {"population": {"members": 4}}}, "config.seed"),
        ({"runs_per_chunk": 4}, "storage.runs_per_chunk: 2 -> 4"),
        ({"dtype": "float16"}, "storage.dtype"),
        ({"name": "other"}, "name: example -> other"),
    ],
)
def test_opening_with_another_schema_names_the_field(
    tmp_path: Path, make_schema: Make, changes: dict[str, object], field: str
) -> None:
    ZooWriter.create(tmp_path, make_schema())
    with pytest.raises(UserError, match="made with another config") as caught:
        ZooWriter.open(tmp_path, make_schema(**changes))
    assert field in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_zoo_of_before_has_keys_of_other_networks_too(tmp_path: Path, make_schema: Make) -> None:
    mlp, more = {"name": "mlp", "hidden": [16]}, {"patch": 4, "channels": [8, 16]}
    data, ppo = {"source": "digits", "settings": "random"}, {"members": 4, "ppo": {"clip": 0.2}}
    old = {"data": data, "network": mlp | more, "population": ppo}
    ZooWriter.create(tmp_path, make_schema(network=mlp | more, config=old))
    new = {"data": {"source": "digits"}, "network": mlp, "population": {"members": 4}}
    ZooWriter.open(tmp_path, make_schema(network=mlp, config=new))
    with pytest.raises(UserError, match=r"config\.network\.hidden: \[16\] -> \[8\]"):
        ZooWriter.open(tmp_path, make_schema(config=new | {"network": mlp | {"hidden": [8]}}))


def test_opening_a_zoo_without_an_array_is_refused(stored: tuple[Path, RunBatch]) -> None:
    path, _ = stored
    (path / "runs" / "seed" / "zarr.json").unlink()
    with pytest.raises(UserError, match="runs/seed"):
        ZooWriter.open(path)


def test_opening_a_zoo_with_too_short_an_array_is_refused(
    stored: tuple[Path, RunBatch],
) -> None:
    path, _ = stored
    shorten(path / "parameters" / "zarr.json", 16)
    with pytest.raises(UserError, match=r"parameters .* holds 16 runs of 19"):
        ZooWriter.open(path)


def shorten(file: Path, n_runs: int) -> None:
    metadata = json.loads(file.read_text())
    metadata["shape"][0] = n_runs
    file.write_text(json.dumps(metadata))


def test_the_zarr_package_reads_a_zoo(stored: tuple[Path, RunBatch]) -> None:
    path, batch = stored
    group = zarr.open_group(path, mode="r")
    assert group.attrs["format"] == "mole-zoo"
    assert group["parameters"].metadata.dimension_names == ("run", "snapshot", "parameter")
    assert group["metrics/train_loss"].metadata.dimension_names == ("run", "snapshot")
    np.testing.assert_array_equal(group["parameters"][:], batch.parameters)
    for name, values in batch.metrics.items():
        np.testing.assert_array_equal(group[f"metrics/{name}"][:], values)
    codes = json.loads((path / "zoo.json").read_text())["codes"]
    assert [codes["split"][code] for code in group["runs/split"][:]] == batch.split
    np.testing.assert_array_equal(group["runs/seed"][:], batch.seed)
    assert set(group["runs"].array_keys()) == {
        *("subset", "split", "member", "seed", "finite", "optimizer"),
        *("learning_rate", "weight_decay", "init_scale"),
    }


def test_a_shard_is_one_file(stored: tuple[Path, RunBatch]) -> None:
    path, _ = stored
    files = sorted(str(f.relative_to(path)) for f in (path / "parameters").rglob("*"))
    shards = [f"parameters/c/{shard}/0/0" for shard in range(3)]
    assert [f for f in files if (path / f).is_file()] == [*shards, "parameters/zarr.json"]


def test_the_same_appends_give_the_same_bytes(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch
) -> None:
    for name in ("a", "b"):
        writer = ZooWriter.create(tmp_path / name, make_schema())
        writer.append(make_batch(11))
    for file in (tmp_path / "a").rglob("c/**/*"):
        if file.is_file():
            assert (
                file.read_bytes()
                == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()
            )


def test_runs_without_their_manifest_are_not_written_over(
    tmp_path: Path, make_schema: Make, make_batch: MakeBatch
) -> None:
    """A lost zoo.json is no reason to lose the runs, too."""
    path = tmp_path / "zoo"
    ZooWriter.create(path, make_schema()).append(make_batch(3))
    manifest = (path / "zoo.json").read_bytes()
    (path / "zoo.json").unlink()
    before = hashes(path)
    with pytest.raises(UserError, match=r"has no zoo\.json, but its array .* holds runs"):
        ZooWriter.create(path, make_schema())
    assert hashes(path) == before
    (path / "zoo.json").write_bytes(manifest)
    assert_holds(path, make_batch(3))
