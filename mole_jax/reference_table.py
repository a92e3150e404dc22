"""Pieces of Markdown: tables, code, lists in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a line for each row."""
    head, *body = (f"| {' | '.join(map(_cell, line))} |\n" for line in (headings, *rows))
    return "".join([head, f"{'|---' * len(headings)}|\n", *body])


def code(text: str) -> str:
    """Return a text as code; "" stays empty."""
    return f"`{text}`" if text else ""


def listed(names: Sequence[str]) -> str:
    """Return "a, b or c"."""
    return ", ".join(names[:-1]) + (" or " if names[1:] else "") + names[-1]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
