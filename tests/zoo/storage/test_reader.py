"""Reads select what is asked for; damage and things that are no zoo are said in one line."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.zoo.storage.arrays import layouts
from mole_jax.zoo.storage.reader import open_zoo
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter

Stored = tuple[Path, RunBatch]
Flip = Callable[[Path, int], None]
Place = Callable[..., tuple[int, int]]


def test_facts(stored: Stored, make_schema: Callable[..., ZooSchema]) -> None:
    path, _ = stored
    zoo = open_zoo(str(path))
    assert zoo.schema.to_json() == make_schema().to_json()
    assert zoo.n_runs == 19
    np.testing.assert_array_equal(zoo.steps, [0, 10, 40])
    assert zoo.steps.dtype == np.int32


@pytest.mark.parametrize(
    "runs", [None, [0], [3, 4, 5], [18, 0, 7], [5, 5], [-1], np.arange(19)[::-1], 4, []]
)
@pytest.mark.parametrize("snapshots", [None, [0, -1], [2, 1], 1])
def test_selections(stored: Stored, runs: object, snapshots: object) -> None:
    path, batch = stored
    zoo = open_zoo(path)
    expected = batch.parameters
    if runs is not None:
        expected = expected[np.atleast_1d(np.asarray(runs, int))]
    if snapshots is not None:
        expected = expected[:, np.atleast_1d(snapshots)]
    np.testing.assert_array_equal(zoo.parameters(runs, snapshots), expected)
    if snapshots is None:
        loss = batch.metrics["train_loss"]
        loss = loss if runs is None else loss[np.atleast_1d(np.asarray(runs, int))]
        np.testing.assert_array_equal(zoo.metric("train_loss", runs), loss)


def test_select(
    tmp_path: Path, make_schema: Callable[..., ZooSchema], make_batch: Callable
) -> None:
    batch = make_batch(15)
    finite = np.arange(15) % 3 != 0
    batch = dataclasses.replace(batch, finite=finite)
    ZooWriter.create(tmp_path, make_schema()).append(batch)
    zoo = open_zoo(tmp_path)
    split = np.array(batch.split)
    np.testing.assert_array_equal(zoo.select(), np.arange(15))
    np.testing.assert_array_equal(zoo.select(split="S0"), np.flatnonzero(split == "S0"))
    expected = np.flatnonzero((split == "train") & finite)
    np.testing.assert_array_equal(zoo.select(split="train", finite=True), expected)
    np.testing.assert_array_equal(zoo.select(finite=False), np.flatnonzero(~finite))
    np.testing.assert_array_equal(zoo.select(subset=2), np.flatnonzero(batch.subset == 2))


@pytest.mark.parametrize("runs", [[19], [-20], [0.5], [[0, 1]], np.ones(19, bool)])
def test_runs_that_are_not_there(stored: Stored, runs: object) -> None:
    path, _ = stored
    with pytest.raises(IndexError, match="run"):
        open_zoo(path).parameters(runs)


def test_snapshots_and_metrics_that_are_not_there(stored: Stored) -> None:
    zoo = open_zoo(stored[0])
    with pytest.raises(IndexError, match="snapshot 3"):
        zoo.parameters(snapshots=[3])
    with pytest.raises(KeyError, match="train_loss"):
        zoo.metric("loss")


def test_a_flipped_byte_is_named_and_the_rest_still_reads(
    stored: Stored, flip: Flip, chunk_place: Place
) -> None:
    path, batch = stored
    file = path / "parameters" / "c" / "1" / "0" / "0"
    offset, size = chunk_place(file, 2)
    flip(file, offset + size // 2)
    zoo = open_zoo(path)
    for runs in (None, [0, 13]):
        with pytest.raises(UserError) as caught:
            zoo.parameters(runs)
        message = str(caught.value)
        assert "parameters: the chunk of runs 12..13 in parameters/c/1/0/0" in message
        assert "checksum mismatch" in message
        assert "\n" not in message
    good = [run for run in range(19) if run not in (12, 13)]
    np.testing.assert_array_equal(zoo.parameters(good), batch.parameters[good])
    np.testing.assert_array_equal(zoo.metric("train_loss"), batch.metrics["train_loss"])


def test_every_byte_of_a_shard_is_guarded(stored: Stored, flip: Flip) -> None:
    path, _ = stored
    file = path / "metrics" / "train_loss" / "c" / "0" / "0"
    zoo = open_zoo(path)
    for position in range(file.stat().st_size):
        flip(file, position)
        with pytest.raises(UserError, match="metrics/train_loss"):
            zoo.metric("train_loss")
        flip(file, position)
    zoo.metric("train_loss")


@pytest.mark.parametrize("kept", [0, 20, 300])
def test_a_truncated_shard_is_named(stored: Stored, kept: int) -> None:
    path, _ = stored
    file = path / "parameters" / "c" / "0" / "0" / "0"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"shard of runs 0\.\.7 in parameters/c/0/0/0"):
        open_zoo(path).parameters()


def test_a_missing_shard_is_not_read_as_fill_values(stored: Stored) -> None:
    path, _ = stored
    (path / "parameters" / "c" / "2" / "0" / "0").unlink()
    zoo = open_zoo(path)
    with pytest.raises(UserError, match=r"runs 16\.\.18 in parameters/c/2/0/0 is missing"):
        zoo.parameters([17])
    zoo.parameters([15])


def test_a_damaged_table_of_runs_is_found_on_opening(stored: Stored, flip: Flip) -> None:
    path, _ = stored
    flip(path / "runs" / "seed" / "c" / "0", 3)
    with pytest.raises(UserError, match=r"runs/seed.*runs 0\.\.7"):
        open_zoo(path)


def test_missing_folder_and_folders_that_are_no_zoo(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        open_zoo(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a zoo"):
        open_zoo(tmp_path)
    (tmp_path / "zoo.json").write_text('{"format": "other"}')
    with pytest.raises(UserError, match="not a zoo"):
        open_zoo(tmp_path)
    (tmp_path / "zoo.json").write_text("{")
    with pytest.raises(UserError, match=r"zoo\.json"):
        open_zoo(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "version 3"),
        ({"steps": "abc"}, "damaged"),
        ({"storage": None}, "damaged"),
        ({"steps": [0, 10]}, "missing or damaged"),
        ({"codes": {"split": ["train"], "optimizer": ["adam"]}}, "unknown codes"),
    ],
)
def test_manifests_that_cannot_be(stored: Stored, change: dict[str, object], message: str) -> None:
    path, _ = stored
    manifest = json.loads((path / "zoo.json").read_text())
    (path / "zoo.json").write_text(json.dumps(manifest | change))
    with pytest.raises(UserError, match=message):
        open_zoo(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"n_runs": -1}', "runs.json is damaged: n_runs is -1"),
        ('{"n_runs": 20}', "holds 19 of 20 runs"),
        ("{}", "runs.json is damaged: it lacks 'n_runs'"),
        ("[]", "runs.json is damaged"),
        ("{", "runs.json cannot be read"),
        (None, "runs.json is missing"),
    ],
)
def test_numbers_of_runs_that_cannot_be(stored: Stored, text: str | None, message: str) -> None:
    path, _ = stored
    (path / "runs.json").unlink()
    if text is not None:
        (path / "runs.json").write_text(text)
    with pytest.raises(UserError, match=message):
        open_zoo(path)


def test_blocks_are_the_parameters_piece_by_piece(stored: Stored) -> None:
    path, batch = stored
    zoo = open_zoo(path)
    for runs in (np.arange(19), np.array([0, 3, 4, 9, 18]), np.array([17])):
        np.testing.assert_array_equal(
            np.concatenate(list(zoo.blocks(runs))), batch.parameters[runs]
        )
    assert [len(block) for block in zoo.blocks()] == [8, 8, 3]
    assert list(zoo.blocks([])) == []
    with pytest.raises(IndexError, match="increase"):
        list(zoo.blocks([3, 1]))


@pytest.mark.parametrize("n_runs", [0, 1, 8, 19])
@pytest.mark.parametrize("most_runs", [1, 2, 5, 100])
def test_blocks_are_whole_chunks_of_one_shard(
    make_schema: Callable[..., ZooSchema], n_runs: int, most_runs: int
) -> None:
    layout = layouts(make_schema())["parameters"]
    found = list(layout.blocks(n_runs, most_runs * layout.run_bytes()))
    assert [run for block in found for run in range(*block)] == list(range(n_runs))
    for start, stop in found:
        assert start % layout.runs_per_chunk == 0
        assert stop == n_runs or stop % layout.runs_per_chunk == 0
        assert start // layout.runs_per_shard == (stop - 1) // layout.runs_per_shard
        assert stop - start <= max(most_runs, layout.runs_per_chunk)


def test_a_manifest_that_lacks_something_says_what(stored: Stored) -> None:
    path, _ = stored
    manifest = json.loads((path / "zoo.json").read_text())
    del manifest["tasks"]
    (path / "zoo.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="lacks 'tasks'"):
        open_zoo(path)


def test_a_moved_zoo_reads_the_same(stored: Stored, tmp_path: Path) -> None:
    path, batch = stored
    shutil.move(path, tmp_path / "elsewhere")
    np.testing.assert_array_equal(open_zoo(tmp_path / "elsewhere").parameters(), batch.parameters)
