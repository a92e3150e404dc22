"""The figure: of every run and split a dot with its interval, and Adam's dashed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mole_jax.core.storage.files import write_json
from mole_jax.report import style
from mole_jax.report.comparison import interval_rows
from mole_jax.report.comparison.recorded_run import Run, read_runs
from tests.report import synthetic


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """Two runs with S0 and S1, and one of them with S3-x, where Adam was not measured."""
    first, second = synthetic.evaluation(), synthetic.evaluation()
    second["splits"]["S3-x"] = {**synthetic.result(), "adam": {}}
    for name, record in (("first", first), ("second", second)):
        write_json(tmp_path / f"{name}.json", record)
    return read_runs([tmp_path / "first.json", tmp_path / "second.json"])


def test_every_run_has_a_dot_and_an_interval_on_every_split(runs: list[Run]) -> None:
    (axes,) = interval_rows.render(runs).axes
    drawn = [line for line in axes.lines if line.get_color() == style.GENERATED]
    dots = [line for line in drawn if line.get_marker() == "o"]
    intervals = [line for line in drawn if line.get_marker() == "None"]
    assert len(dots) == len(intervals) == 5
    for dot, interval in zip(dots, intervals, strict=True):
        (x,), (low, high) = dot.get_xdata(), interval.get_xdata()
        assert low < x < high
        assert dot.get_ydata()[0] == interval.get_ydata()[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["first", "second", "first", "second", "second"]


def test_adam_is_dashed_where_it_was_measured(runs: list[Run]) -> None:
    (axes,) = interval_rows.render(runs).axes
    drawn = [line for line in axes.lines if line.get_color() == style.INK]
    assert [line.is_dashed() for line in drawn if line.get_marker() == "None"] == [True] * 4
    assert "where it was measured" in interval_rows.caption(runs)
    assert "where it was measured" not in interval_rows.caption(runs[:1])


def test_all_rows_are_inside_and_more_rows_are_higher(runs: list[Run]) -> None:
    figure = interval_rows.render(runs)
    (axes,) = figure.axes
    bottom, top = axes.get_ylim()
    assert all(top < y < bottom for line in axes.lines for y in line.get_ydata())
    assert figure.get_figheight() > interval_rows.render(runs[:1]).get_figheight()
