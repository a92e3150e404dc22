"""Every kind of damage is found, and all of it at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from mole_jax.core.errors import UserError
from mole_jax.zoo.storage.schema import RunBatch
from mole_jax.zoo.storage.verify import Problem, verify

Stored = tuple[Path, RunBatch]
Flip = Callable[[Path, int], None]
Place = Callable[..., tuple[int, int]]


def edit_manifest(path: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((path / "zoo.json").read_text())
    change(manifest)
    (path / "zoo.json").write_text(json.dumps(manifest))


def test_a_sound_zoo_has_no_problems(stored: Stored) -> None:
    assert verify(stored[0]) == []


def test_all_corrupt_chunks_are_reported(stored: Stored, flip: Flip, chunk_place: Place) -> None:
    path, _ = stored
    for shard, chunk in ((0, 0), (0, 3), (1, 2)):
        file = path / f"parameters/c/{shard}/0/0"
        flip(file, chunk_place(file, chunk)[0])
    file = path / "metrics/test_accuracy/c/2/0"
    flip(file, chunk_place(file, 1)[0] + 5)
    problems = verify(path)
    assert [(problem.where, problem.file, problem.runs) for problem in problems] == [
        ("parameters", "parameters/c/0/0/0", (0, 2)),
        ("parameters", "parameters/c/0/0/0", (6, 8)),
        ("parameters", "parameters/c/1/0/0", (12, 14)),
        ("metrics/test_accuracy", "metrics/test_accuracy/c/2/0", (18, 19)),
    ]
    assert all(problem.what.startswith("the chunk is corrupt: ") for problem in problems)


def test_a_corrupt_shard_index_is_one_problem(stored: Stored, flip: Flip) -> None:
    path, _ = stored
    for position in (-1, -4, -20, -68):  # checksum and entries
        flip(path / "parameters/c/1/0/0", position)
        (problem,) = verify(path)
        assert problem.file == "parameters/c/1/0/0"
        assert problem.runs == (8, 16)
        assert problem.what == "the shard is corrupt: checksum mismatch in the shard index"
        flip(path / "parameters/c/1/0/0", position)
    assert verify(path) == []


def test_every_byte_of_the_table_of_runs_is_guarded(stored: Stored, flip: Flip) -> None:
    path, _ = stored
    file = path / "runs/learning_rate/c/1"
    for position in range(file.stat().st_size):
        flip(file, position)
        assert [problem.where for problem in verify(path)] == ["runs/learning_rate"]
        flip(file, position)


@pytest.mark.parametrize("kept", [0, 20, 100])
def test_truncated_files(stored: Stored, kept: int) -> None:
    path, _ = stored
    file = path / "metrics/train_loss/c/0/0"
    file.write_bytes(file.read_bytes()[:kept])
    (problem,) = verify(path)
    assert (problem.where, problem.runs) == ("metrics/train_loss", (0, 8))


def test_missing_files(stored: Stored) -> None:
    path, _ = stored
    (path / "parameters/c/2/0/0").unlink()
    (path / "runs/split/c/0").unlink()
    (path / "metrics/train_loss/c/1/0").unlink()
    found = {(problem.file, problem.runs) for problem in verify(path)}
    assert found == {
        ("parameters/c/2/0/0", (16, 19)),
        ("runs/split/c/0", (0, 8)),
        ("metrics/train_loss/c/1/0", (8, 16)),
    }


def test_a_chunk_that_was_never_written(stored: Stored) -> None:
    # Zarr itself drops a chunk that holds nothing but the fill value.
    path, _ = stored
    zarr.open_array(path / "parameters", mode="r+")[4:6] = np.nan
    (problem,) = verify(path)
    assert problem.what == "the chunk is missing from the shard index"
    assert (problem.file, problem.runs) == ("parameters/c/0/0/0", (4, 6))


def test_missing_array(stored: Stored) -> None:
    path, _ = stored
    (path / "metrics/train_loss/zarr.json").unlink()
    (problem,) = verify(path)
    assert "array is missing" in problem.what
    assert problem.file == "metrics/train_loss/zarr.json"


def test_metadata_of_another_shape(stored: Stored) -> None:
    path, _ = stored
    edit_manifest(path, lambda m: m["steps"].append(50))
    problems = verify(path)
    assert {p.where for p in problems} == {
        *("parameters", "metrics/train_loss", "metrics/test_accuracy")
    }
    assert all("not what zoo.json says" in p.what and str(path) not in p.what for p in problems)


def test_manifest_counting_more_runs_than_are_stored(stored: Stored) -> None:
    path, _ = stored
    (path / "runs.json").write_text('{"n_runs": 20}')
    problems = verify(path)
    assert len(problems) == 12
    assert all("holds 19 runs, but runs.json counts 20" in p.what for p in problems)


def test_manifest_listing_a_metric_that_is_not_stored(stored: Stored) -> None:
    path, _ = stored
    edit_manifest(path, lambda m: m["metrics"].append("test_loss"))
    (problem,) = verify(path)
    assert problem.where == "metrics/test_loss"


def test_tasks_both_trained_on_and_held_out(stored: Stored) -> None:
    path, _ = stored
    edit_manifest(path, lambda m: m["tasks"][2].update(classes=[2, 1, 0]))
    (problem,) = verify(path)
    assert problem.where == "zoo.json"
    assert "digits-3of10-0.4.5" in problem.what
    assert "digits-3of10-0.1.2" in problem.what


def test_runs_in_a_split_that_is_not_their_tasks(stored: Stored) -> None:
    path, batch = stored
    edit_manifest(path, lambda m: m["tasks"][2].update(split="train"))
    runs = [problem.runs[0] for problem in verify(path) if problem.runs]
    assert runs == np.flatnonzero(np.array(batch.split) == "S1").tolist()


def test_unknown_task_index(stored: Stored) -> None:
    path, _ = stored
    zarr.open_array(path / "runs/subset", mode="r+")[6] = 3
    (problem,) = verify(path)
    assert problem == Problem("runs/subset", "unknown task index 3; zoo.json lists 3", None, (6, 7))


def test_values_that_are_not_finite_in_runs_marked_finite(stored: Stored) -> None:
    path, _ = stored
    zarr.open_array(path / "parameters", mode="r+")[5, 1, 7] = np.inf
    zarr.open_array(path / "metrics/train_loss", mode="r+")[9, 2] = np.nan
    zarr.open_array(path / "parameters", mode="r+")[11] = np.nan
    zarr.open_array(path / "runs/finite", mode="r+")[11] = False
    zarr.open_array(path / "runs/weight_decay", mode="r+")[2] = np.nan
    found = {(problem.where, problem.runs) for problem in verify(path)}
    assert found == {
        ("parameters", (5, 6)),
        ("metrics/train_loss", (9, 10)),
        ("runs/weight_decay", (2, 3)),
    }


def test_no_zoo(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a zoo"):
        verify(tmp_path)


def test_progress_reaches_its_total(stored: Stored) -> None:
    seen: dict[str, int] = {}

    class Bar:
        def __init__(self, name: str, total: int, unit: str) -> None:
            seen.update(total=total, done=0)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, n: int) -> None:
            seen["done"] += n

    (stored[0] / "parameters/c/1/0/0").unlink()
    verify(stored[0], progress=Bar)
    # Parameters and two metrics in 10 chunks each, nine fields of the runs in 3.
    assert seen == {"total": 57, "done": 57}


def test_a_problem_is_one_line() -> None:
    problem = Problem("parameters", "the chunk is corrupt", "parameters/c/0/0/0", (8, 16))
    assert str(problem) == "parameters, runs 8..15 (parameters/c/0/0/0): the chunk is corrupt"
    assert str(Problem("zoo.json", "wrong")) == "zoo.json: wrong"
