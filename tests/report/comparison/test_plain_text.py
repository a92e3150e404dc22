"""Tables fit a terminal, and lose nothing by it."""

from __future__ import annotations

import pytest

from mole_jax.report.comparison.plain_text import WIDTH, lines
from mole_jax.report.comparison.side_by_side import Table


def rows(n: int, columns: int, cell: str) -> Table:
    heads = tuple(f"run-{i}" for i in range(columns))
    return Table(
        "a caption", ("setting", *heads), [(f"key.{i}", *[cell] * columns) for i in range(n)]
    )


@pytest.mark.parametrize("columns", [1, 2, 5, 9, 30])
@pytest.mark.parametrize("cell", ["1", "97.1 to 97.9 %", "[1, 2, 3, 4, 5, 6, 7, 8]", "x" * 150])
def test_no_line_is_wider_than_asked(columns: int, cell: str) -> None:
    found = list(lines(rows(3, columns, cell)))
    assert max(map(len, found)) <= WIDTH
    text = "".join("".join(found).split())
    assert text.count("run-") == columns
    assert text.count("x") == (450 * columns if cell[0] == "x" else 0)


def test_many_columns_come_in_pieces_that_each_name_their_rows() -> None:
    text = "\n".join(lines(rows(2, 30, "a long text")))
    assert text.count("key.0") == text.count("setting") > 1
    assert all(f"run-{i}" in text for i in range(30))


def test_numbers_stand_below_each_other() -> None:
    table = Table("", ("run", "mean", "name"), [("a", "9.5", "x"), ("b", "−10.25", "longer")])
    assert list(lines(table)) == [
        "run    mean  name",
        "-------------------",
        "a       9.5  x",
        "b    −10.25  longer",
    ]


def test_heads_give_way_before_numbers_do() -> None:
    table = Table("", ("run", "a long head", "b long head"), [("x", "97.1 to 97.9", "1")])
    assert list(lines(table, 25)) == [
        "run   a long head  b long",
        "                     head",
        "-------------------------",
        "x    97.1 to 97.9       1",
    ]


def test_keys_are_whole() -> None:
    key = "evaluation.targets.share_of_adam"
    table = Table("", ("setting", *"abcdefgh"), [(key, *["0.123456789"] * 8)])
    assert any(line.startswith(key) for line in lines(table, 60))
