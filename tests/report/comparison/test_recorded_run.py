"""Which runs are meant, what they are called, and what is said where they cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage.files import write_json
from mole_jax.report.comparison.recorded_run import read_runs, splits_of
from tests.report import synthetic


def workdir(path: Path) -> Path:
    write_json(path / stages.MARK, {"format": stages.FORMAT})
    return synthetic.write(path, figure_arrays={})


def test_a_run_is_a_workdir_or_its_evaluation_file(tmp_path: Path) -> None:
    first, second = workdir(tmp_path / "a"), workdir(tmp_path / "b")
    runs = read_runs([first, second / "report" / "evaluation.json"])
    assert [run.name for run in runs] == ["a", "b"]
    assert [run.workdir and run.workdir.resolve() for run in runs] == [first, second]
    assert splits_of(runs) == ["S1", "S0"]


def test_a_file_elsewhere_is_of_no_workdir(tmp_path: Path) -> None:
    for name in ("one.json", "two/evaluation.json"):
        write_json(tmp_path / name, synthetic.evaluation())
    runs = read_runs([tmp_path / "one.json", tmp_path / "two" / "evaluation.json"])
    assert [(run.name, run.workdir) for run in runs] == [("one", None), ("two", None)]


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [workdir(tmp_path / seed / "digits") for seed in ("0", "1")]
    assert [run.name for run in read_runs(paths)] == ["0/digits", "1/digits"]


def test_the_workdir_may_be_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = workdir(tmp_path / "b")
    monkeypatch.chdir(workdir(tmp_path / "a"))
    assert [run.name for run in read_runs([Path("."), other])] == ["a", "b"]


def test_what_cannot_be_read_is_said_in_a_line(tmp_path: Path) -> None:
    good, unevaluated = workdir(tmp_path / "a"), tmp_path / "b"
    write_json(unevaluated / stages.MARK, {})
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "empty").mkdir()
    write_json(tmp_path / "list.json", [])
    write_json(tmp_path / "numbers.json", {"splits": {"S1": 3}})
    for paths, match in (
        ([], "no run is given, but comparing takes two or more"),
        ([good], "one run is given"),
        ([good, good / "report" / "evaluation.json"], "is given twice: name each run once"),
        ([good, tmp_path / "none"], "none does not exist: give a workdir"),
        ([good, tmp_path / "empty"], "empty is not a workdir: it has no workdir.json; give"),
        ([good, unevaluated], "evaluation.json is missing: run the evaluate stage"),
        ([good, tmp_path / "bad.json"], "bad.json cannot be read as JSON"),
        ([good, tmp_path / "list.json"], "list.json has no splits"),
        ([good, tmp_path / "numbers.json"], "splits.S1: 3 is not of type 'object'"),
    ):
        with pytest.raises(UserError, match=match) as refused:
            read_runs(paths)
        assert "\n" not in str(refused.value)
