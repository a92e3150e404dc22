"""What README and docs name is there: files, modules, commands of make, keys of configs."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mole_jax import experiment
from mole_jax.core.program import sections

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The notebook is about earlier code, too: what it names may be gone.
_PATH = re.compile(r"(?:mole_jax|configs|docs|tests|launch|benchmarks|examples)/[\w./-]*\w")
_MODULE = re.compile(r"python3? -m ((?:mole_jax|benchmarks|tests)[\w.]*)")
_CODE = re.compile(r"`([^`\n]+)`")
_SECTIONS = "|".join(experiment.SECTIONS)
_KEY = re.compile(rf"(?:--config\.)?((?:{_SECTIONS})(?:\.\w+)+)(?:=.*)?")


def code(page: Path) -> Iterator[str]:
    """Yield what stands in backticks, or in a block of code."""
    text = page.read_text()
    for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()
    for line in text.splitlines():
        yield from [line] if line.startswith("    ") else _CODE.findall(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    for text in code(page):
        for name in _PATH.findall(text):
            spoken = re.search(rf"(?:\*|NAME|FILE|~/|\.){re.escape(name)}", text)
            if spoken or "NAME" in name or "FILE" in name:
                continue  # a pattern, or somebody's own file
            path = name.partition(":")[0]
            assert (ROOT / path).exists() or list(ROOT.glob(f"{path}*")), f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_that_a_page_runs_are_there(page: Path) -> None:
    for name in _MODULE.findall(page.read_text()):
        assert importlib.util.find_spec(name) is not None, f"{page.name}: python -m {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_make_that_a_page_names_are_there(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for text in code(page):
        for name in re.findall(r"^make ([a-z-]+)", text):
            assert name in targets, f"{page.name}: make {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_keys_that_a_page_names_are_keys(page: Path) -> None:
    known = _keys()
    for text in code(page):
        found = _KEY.fullmatch(text.strip())
        if found and "NAME" not in found[1] and not found[1].endswith((".mdb", ".npz", ".json")):
            assert found[1] in known, f"{page.name}: {found[1]}"


def _keys() -> set[str]:
    """Return all keys and groups of keys, of every choice of the sections that have choices."""
    found = set(experiment.TAGS)
    for section, kind in experiment.SECTIONS.items():
        choices = kind.choices.values() if isinstance(kind, sections.Tagged) else (kind,)
        for choice in choices:
            found |= set(_below(section, sections.defaults(choice)))
    return found


def _below(prefix: str, section: Mapping[str, Any]) -> Iterator[str]:
    for key, value in section.items():
        yield f"{prefix}.{key}"
        if isinstance(value, Mapping):
            yield from _below(f"{prefix}.{key}", value)
