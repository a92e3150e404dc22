"""Folders are floors: a file imports from its own floor or from floors before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mole_jax

PACKAGE = Path(mole_jax.__file__).parent
FLOORS = (
    "core",
    "tasks",
    "population",
    "zoo",
    "representation",
    "metamodel",
    "sampling",
    "evaluation",
    "report",
    "interop",
)
TOP = len(FLOORS)  # files beside the folders, such as main.py, may import everything
# The package's own file offers callers the top floor's load(); no floor imports it for that.
FILES = sorted(set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py"})


def floor(parts: tuple[str, ...]) -> int:
    """Return the floor of a module below mole_jax, given by its path parts."""
    if parts and parts[0] in FLOORS:
        return FLOORS.index(parts[0])
    return TOP


def imports(source: str, package: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield (line, parts below mole_jax) of each import of our own, wherever in the file it is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            # `from mole_jax import zoo` names its module last.
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = tuple(name.split("."))
            if parts[0] == "mole_jax":
                yield node.lineno, parts[1:]


def climbs(path: Path, source: str) -> list[str]:
    """Return one line for each import in the file that reaches a later floor."""
    inside = path.relative_to(PACKAGE).parts
    own = floor(inside)
    found = []
    for line, parts in imports(source, ("mole_jax", *inside[:-1])):
        # The package itself (its version) is on no floor.
        is_package = not parts or (len(parts) == 1 and not (PACKAGE / parts[0]).is_dir()
                                   and not (PACKAGE / f"{parts[0]}.py").exists())  # fmt: skip
        if not is_package and floor(parts) > own:
            found.append(f"{path.name}:{line} imports mole_jax.{'.'.join(parts)}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_its_own_floor_or_earlier_ones(path: Path) -> None:
    assert climbs(path, path.read_text()) == []


def test_every_folder_is_a_floor() -> None:
    folders = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}
    folders = {name for name in folders if (PACKAGE / name).is_dir()}
    assert folders <= set(FLOORS), "give the new folder its place in FLOORS"


@pytest.mark.parametrize(
    "line",
    [
        "import mole_jax.zoo.store",
        "from mole_jax.zoo.store import open_zoo",
        "from mole_jax import zoo",
        "from mole_jax import main",
        "from ..zoo import store",
        "from .. import zoo",
        "def f():\n    from mole_jax.report import build",
    ],
)
def test_an_import_from_a_later_floor_is_found(line: str) -> None:
    assert climbs(PACKAGE / "tasks" / "example.py", line)


@pytest.mark.parametrize(
    "line",
    [
        "import mole_jax",
        "from mole_jax import __version__",
        "from mole_jax.core import files",
        "from . import parameters",
        "from .parameters import ParameterSpec",
        "import zoo",
    ],
)
def test_an_import_from_the_same_or_an_earlier_floor_is_fine(line: str) -> None:
    assert climbs(PACKAGE / "tasks" / "example.py", line) == []
