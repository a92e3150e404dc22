"""Turns of phrase that stay out of docstrings, messages and pages, and what to write instead."""

from __future__ import annotations

import bisect
import io
import itertools
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Pattern, what to write instead, and an example of what is found.
PHRASES = (
    (r"prompts? speaks? of", "the prompt metric", "the metric that prompts speak of"),
    (r"anew", "again", "the run starts anew"),
    (r"(go|goes|going|went|gone) on", "continue, resume", "the same command goes on"),
    (r"mend(s|ed|ing|able)?", "fix, repair, remedy", "what a user can mend"),
    (r"of before", "older", "only configs of before have them"),
    (r"(has|have|had) not got", "lack", "a metric the zoo has not got"),
    (r"so many", "this many, N", "after so many steps"),
    (r"told", "given, shown, reported; see", "the metric that a model was told"),
    (r"tells", "says, shows, distinguishes", "what tells one task from another"),
    (r"twins?", "the regression ablation", "its deterministic twin"),
    (r"with a word", "with a message", "left out with a word"),
    (r"beside", "next to, besides, with", "the card beside the weights"),
    (r"(broken|breaks?) off", "interrupted", "a broken-off import"),
    (r"half done", "unfinished", "what was left half done"),
    (r"whatever (it|they|this|that) (is|are)", "any", "whatever it is"),
    (r"for want of", "without", "refused for want of a zoo"),
    (r"at hand", "these, present", "the task at hand"),
    (r"for what (is|are) no", "anything but", "UserError: for what is no image"),
    (r"for ever", "endlessly", "they may wait for ever"),
    (r"goes? down on", "minimise", "what a network goes down on"),
)
# (file, what was found) -> why it stays.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("docs/notebook/README.md", "twin"): "says what old tables call it",
    ("docs/notebook/learning.md", "twin"): "says what old tables call it",
}

_FOUND = [
    (re.compile(rf"\b{pattern.replace(' ', '[ -]')}\b", re.IGNORECASE), instead)
    for pattern, instead, _ in PHRASES
]
_TEXT = ("COMMENT", "STRING", "FSTRING_MIDDLE")
_QUOTES = re.compile(r"^\s*(#+|[a-z]{0,2}[\"']+)|[\"']+$", re.IGNORECASE)
_SPACE = ("NL", "NEWLINE", "INDENT", "DEDENT", "FSTRING_START", "FSTRING_END")


def python_words(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and word of strings and comments; "|" stands for code between them."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind in _TEXT:
            for line, text in enumerate(token.string.splitlines(), token.start[0]):
                text = re.sub(r"\{[^{}]*\}", "{}", _QUOTES.sub("", text))
                yield from ((line, word) for word in text.split())
        elif kind not in _SPACE:
            yield token.start[0], "|"


def script_words(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and word of a shell script or a page; rows of tables stay as recorded."""
    for line, text in enumerate(source.splitlines(), 1):
        words = ["|"] if text.startswith("|") else text.lstrip("# ").split()
        yield from ((line, word) for word in words)


def phrases(words: Iterator[tuple[int, str]]) -> list[tuple[int, str, str]]:
    """Return line, phrase and what to write instead, also of phrases that span lines."""
    lines, texts = zip(*words, strict=True)
    starts = list(itertools.accumulate((len(text) + 1 for text in texts), initial=0))
    return sorted(
        (lines[bisect.bisect_right(starts, match.start()) - 1], match[0], instead)
        for pattern, instead in _FOUND
        for match in pattern.finditer(" ".join(texts))
    )


def files() -> list[Path]:
    folders = ("mole_jax", "configs", "examples")
    python = [p for folder in folders for p in (ROOT / folder).rglob("*.py")]
    scripts = [p for p in (ROOT / "launch").iterdir() if p.suffix in (".py", ".sh")]
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    return sorted(p for p in python + scripts + pages if p.stat().st_size)


def test_nobody_uses_them() -> None:
    found = []
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        source = path.read_text(encoding="utf-8")
        words = python_words(source) if path.suffix == ".py" else script_words(source)
        found += [
            f"{name}:{line}: {phrase!r}; write: {instead}"
            for line, phrase, instead in phrases(words)
            if (name, phrase) not in EXCEPTIONS
        ]
    assert not found, "\n".join(found)


def test_many_files_are_read() -> None:
    names = {path.suffix for path in files()}
    assert names == {".py", ".sh", ".md"} and len(files()) > 200


@pytest.mark.parametrize(("instead", "example"), [row[1:] for row in PHRASES])
def test_each_is_found(instead: str, example: str) -> None:
    first, _, rest = example.rpartition(" ")
    sources = (
        f'"""One.\n\nIt is {example}."""\n',
        f'"""One.\n\nIt is {first}\n{rest}."""\n',
        f"x = 1\n\n# {example.capitalize()}.\n",
        f"x = 1\n# {first}\n# {rest}\n",
        f'raise E(\n    "1",\n    f"{{x}}: {example}",\n)\n',
        f'raise E(\n    "1",\n    f"{{x}}: {first} "\n    "{rest}",\n)\n',
    )
    for source in sources:
        (found,) = phrases(python_words(source))
        assert found[0] in (2, 3, 4) and found[2] == instead, source
    ((line, _, write),) = phrases(script_words(f"#!/bin/sh\n# {first}\n# {rest}\n"))
    assert line in (2, 3) and write == instead


def test_names_and_code_are_not_read() -> None:
    source = 'told = mend(tells, beside="x")\nf"{told} goes {on}"\n"go", "on"\n'
    assert not phrases(python_words(source))
