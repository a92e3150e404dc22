"""What messages never say, wherever in the package they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "mole_jax"
DESTRUCTIVE = re.compile(r"\b(delet\w+|remove (that|the|its) \w*(folder|file)|rm -r)\b", re.I)


def messages(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every string that is raised or printed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) or (
            isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
        ):
            text = "".join(
                part.value
                for part in ast.walk(node)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )
            yield node.lineno, text


def test_no_message_advises_deleting() -> None:
    """What seems damaged may be sound; moving it elsewhere does as well and can be undone."""
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in messages(ast.parse(path.read_text(encoding="utf-8")))
        if DESTRUCTIVE.search(text)
    ]
    assert not found, "\n".join(found)


def test_a_message_that_does_is_found() -> None:
    tree = ast.parse('raise UserError(f"{x} is damaged: delete {folder} and "\n"begin again")')
    assert [bool(DESTRUCTIVE.search(text)) for _, text in messages(tree)] == [True]
