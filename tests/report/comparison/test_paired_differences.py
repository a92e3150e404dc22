"""Runs are paired where tasks and support sets are the same by their records, and only there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mole_jax.core.storage.files import read_json, read_npz, write_json, write_npz
from mole_jax.report.comparison.paired_differences import Paired, Unpaired, compare
from mole_jax.report.comparison.recorded_run import read_runs
from tests.report.comparison import made_up_run


def pairs(*paths: Path) -> dict[str, Paired | Unpaired]:
    return {pair.split: pair for pair in compare(read_runs(paths))}


def changed(workdir: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The workdir with another evaluation.json."""
    file = workdir / "report" / "evaluation.json"
    record = read_json(file)
    change(record)
    write_json(file, record)
    return workdir


def seeded(record: dict[str, Any], seed: int) -> None:
    record["config"]["seed"] = seed


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_run.write(tmp_path_factory.mktemp("runs") / "first", shift=0.02)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tasks, other scores."""
    return made_up_run.write(tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture
def second(plain: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return shutil.copytree(plain, tmp_path / "second")


def test_the_difference_is_that_of_the_tasks(first: Path, second: Path) -> None:
    """It is exact though the tasks differ by far more than the runs."""
    found = pairs(first, second)
    for split in ("S0", "S1"):
        pair = found[split]
        assert isinstance(pair, Paired) and pair.adam is not None
        assert pair.n_tasks == made_up_run.TASKS and pair.same_starts is True
        np.testing.assert_allclose([pair.generated.mean, *pair.generated.ci95], 0.02, atol=1e-6)
        assert pair.adam == (0.0, (0.0, 0.0))


def test_a_run_does_not_differ_from_its_copy(first: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(first, tmp_path / "copy")
    assert {pair.generated for pair in pairs(first, copy).values()} == {(0.0, (0.0, 0.0))}


def test_the_order_of_runs_is_the_sign(first: Path, second: Path) -> None:
    there, back = (pairs(*own)["S1"].generated for own in ((first, second), (second, first)))
    assert there.mean == -back.mean > 0


def test_other_starts_are_said(first: Path, second: Path) -> None:
    """Networks of another kind cannot start alike; the tasks are the same."""
    loss = np.full((made_up_run.TASKS, made_up_run.STARTS, 2), 1.5, np.float32)
    file = second / "evaluate" / "results" / "adam.S1.npz"
    write_npz(file, steps=[0, 5], test_loss=loss)
    pair = pairs(first, second)["S1"]
    assert isinstance(pair, Paired) and pair.same_starts is False


def test_starts_may_be_unknown(first: Path, second: Path) -> None:
    (second / "evaluate" / "results" / "adam.S1.npz").unlink()
    assert pairs(first, second)["S1"].same_starts is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ids": "letters"}, r"different tasks \(0 of 4 names are the same\)"),
        ({"images": "other"}, "different images"),
        ({"members": 4}, "different support sets: they are drawn by run number"),
    ],
)
def test_other_zoos_have_no_difference(
    first: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    found = pairs(first, made_up_run.write(tmp_path / "second", **changes))
    assert list(found) == ["S1", "S0"]
    for pair in found.values():
        assert isinstance(pair, Unpaired) and re.search(reason, pair.reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metric": "return"}, "different scores (accuracy, return)"),
        ({"n_tasks": 2, "n_networks": 4}, "different numbers of tasks (4, 2)"),
        ({"n_networks": 4}, "different numbers of networks per task (2, 1)"),
    ],
)
def test_other_numbers_have_no_difference(
    first: Path, second: Path, changes: dict[str, Any], reason: str
) -> None:
    changed(second, lambda record: record["splits"]["S1"].update(changes))
    found = pairs(first, second)
    assert found["S1"] == ("first", "second", "S1", reason)
    assert isinstance(found["S0"], Paired)


def test_networks_of_one_kind_are_paired_though_other_kinds_differ(tmp_path: Path) -> None:
    """Those of S4-12 are the same tasks, and of S4-20 and S4-32 there is nothing to compare."""
    kinds = {"first": ("12", "20"), "second": ("12", "32")}
    paths = [made_up_run.write(tmp_path / name, unseen=own) for name, own in kinds.items()]
    assert {split: type(pair) for split, pair in pairs(*paths).items()} == {
        "S1": Paired,
        "S0": Paired,
        "S4-12": Paired,
    }


def test_other_configs_have_no_difference(first: Path, second: Path) -> None:
    changed(second, lambda record: record["config"]["data"].update(support_per_class=5))
    reason = "different support sets (10, 5 examples per class)"
    assert {pair.reason for pair in pairs(first, second).values()} == {reason}
    changed(second, lambda record: seeded(record, 1))
    assert {pair.reason for pair in pairs(first, second).values()} == {"different seeds (0, 1)"}


def test_without_a_zoo_nothing_is_paired(first: Path, second: Path, tmp_path: Path) -> None:
    shutil.rmtree(second / "zoo")
    assert "the zoo of second cannot be read" in pairs(first, second)["S1"].reason
    file = tmp_path / "alone.json"
    shutil.copy(second / "report" / "evaluation.json", file)
    assert "only the evaluation.json of alone is given" in pairs(first, file)["S1"].reason


def test_another_zoo_than_that_of_the_evaluation_is_noticed(first: Path, second: Path) -> None:
    changed(second, lambda record: record["config"]["evaluation"].update(starts=3))
    assert "the zoo of second is not the one" in pairs(first, second)["S1"].reason


def test_scores_of_another_evaluation_are_not_used(first: Path, second: Path) -> None:
    file = second / "evaluate" / "results" / "quality.S1.npz"
    write_npz(file, names=["generated", "adam"], score=made_up_run.scores(0.03)["S1"])
    assert pairs(first, second)["S1"].reason.endswith("disagree with its evaluation.json")
    file.write_bytes(b"damaged")
    assert "quality.S1.npz is damaged" in pairs(first, second)["S1"].reason
    file.unlink()
    assert pairs(first, second)["S1"].reason == "second has kept no scores by task"


def test_runs_without_a_common_split_are_said(first: Path, second: Path) -> None:
    changed(second, lambda record: record.update(splits={"S3-x": record["splits"]["S1"]}))
    assert pairs(first, second) == {"": ("first", "second", "", "they have no split in common")}


def test_every_two_runs_are_compared(first: Path, second: Path, tmp_path: Path) -> None:
    third = changed(shutil.copytree(second, tmp_path / "third"), lambda r: seeded(r, 1))
    found = [(p.first, p.second, type(p)) for p in compare(read_runs([first, second, third]))]
    assert found[::2] == [
        ("first", "second", Paired),
        ("first", "third", Unpaired),
        ("second", "third", Unpaired),
    ]


@pytest.mark.parametrize("steps", [[], [0], 0, [5, 10, 15]])
def test_starts_that_are_not_on_record_are_unknown(first: Path, second: Path, steps: Any) -> None:
    file = second / "evaluate" / "results" / "adam.S1.npz"
    write_npz(file, steps=np.asarray(steps), test_loss=read_npz(file)["test_loss"])
    pair = pairs(first, second)["S1"]
    assert isinstance(pair, Paired) and pair.same_starts is None


def test_a_damaged_file_of_starts_leaves_the_other_splits(first: Path, second: Path) -> None:
    (second / "evaluate" / "results" / "adam.S1.npz").write_bytes(b"no archive")
    found = pairs(first, second)
    assert isinstance(found["S0"], Paired)
    unpaired = found["S1"]
    assert isinstance(unpaired, Unpaired) and "adam.S1.npz is damaged" in unpaired.reason
