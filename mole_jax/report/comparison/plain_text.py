"""Tables as plain text of a given width: cells that do not fit are wrapped."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence

from mole_jax.report.comparison.side_by_side import Table

WIDTH = 100
GAP = "  "
LONG = 12  # least width of a column that has a word this long
LONGEST = 40  # the same of the first column, which names the rows
NUMERIC = frozenset("0123456789+−-–.")


def lines(table: Table, width: int = WIDTH) -> Iterator[str]:
    """Yield a table's lines, in several pieces if it has too many columns for one."""
    if table.caption:
        yield from paragraph(table.caption, width)
    first, *others = zip(table.heads, *table.rows, strict=True)
    room = width - min(_longest_word(first), LONGEST)
    while others:
        taken = list(itertools.accumulate(_least(column) for column in others))
        at_once = max(1, sum(used <= room for used in taken))
        yield from _piece([first, *others[:at_once]], width)
        others = others[at_once:]


def _least(column: Sequence[str]) -> int:
    """Return the least width of a column, with the gap before it."""
    return len(GAP) + min(_longest_word(column), LONG)


def paragraph(text: str, width: int = WIDTH) -> list[str]:
    """Return a text in lines."""
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _piece(columns: Sequence[tuple[str, ...]], width: int) -> Iterator[str]:
    widths = _fitted(columns, width)
    right = [i > 0 and _is_numeric(column[1:]) for i, column in enumerate(columns)]
    for at, row in enumerate(zip(*columns, strict=True)):
        cells = [_wrapped(cell, w) for cell, w in zip(row, widths, strict=True)]
        for i in range(max(map(len, cells))):
            texts = [cell[i] if i < len(cell) else "" for cell in cells]
            aligned = [
                text.rjust(w) if r else text.ljust(w)
                for text, w, r in zip(texts, widths, right, strict=True)
            ]
            yield GAP.join(aligned).rstrip()
        if at == 0:
            yield "-" * (sum(widths) + len(GAP) * (len(widths) - 1))


def _fitted(columns: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the columns' widths: those of their cells, the widest reduced until all fit.

    Heads are wrapped first, then cells between words; words are broken only if they must be.
    """
    widths = [max(map(len, column)) for column in columns]
    words = [_longest_word(column) for column in columns]
    bodies = [max(word, *map(len, c[1:])) for word, c in zip(words, columns, strict=True)]
    room = width - len(GAP) * (len(widths) - 1)
    for least in (bodies, words, [min(words[0], LONGEST), *[1] * len(widths)]):
        while sum(widths) > room:
            able = [i for i, w in enumerate(widths) if w > least[i]]
            if not able:
                break
            widths[max(able, key=lambda i: widths[i])] -= 1
    return widths


def _longest_word(column: Sequence[str]) -> int:
    return max(len(word) for cell in column for word in cell.split(" "))


def _wrapped(cell: str, width: int) -> list[str]:
    # No breaks at hyphens, since S4-12-20 is one name; textwrap keeps no-break spaces, too.
    return textwrap.wrap(cell, width, break_on_hyphens=False) or [""]


def _is_numeric(cells: Sequence[str]) -> bool:
    return all(cell[:1] in NUMERIC for cell in cells if cell)
