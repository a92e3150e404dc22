"""Folders are floors: a file imports from its own floor or from floors before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mole_jax

PACKAGE = Path(mole_jax.__file__).parent
# From the lowest up. What stands in one line shares a floor: there, files are small seams of one
# folder. A folder's own files may lie above its rooms, or below them.
FLOORS = (
    ("core",),
    ("core.devices",),
    ("core.console",),
    ("core.storage",),
    ("core.program",),
    (
        "tasks",
        "tasks.environments",
        "tasks.networks",
        "tasks.sources",
        "tasks.sources.glyphs",
        "tasks.sources.silhouettes",
        "tasks.sources.strokes",
    ),
    ("population",),
    ("zoo.storage",),
    ("zoo",),
    ("zoo.making",),
    ("zoo.importing",),
    ("representation",),
    ("metamodel.process",),
    ("metamodel.layers",),
    ("metamodel.networks",),
    ("metamodel",),
    ("training",),
    ("learners", "learners.ancestors"),
    ("sampling.shipped",),
    ("sampling",),
    ("evaluation.harness",),
    ("evaluation.baselines",),
    ("evaluation.measures",),
    ("evaluation",),
    ("report", "report.plots", "report.comparison"),
    ("interop", "interop.gpt", "interop.lmdb"),
)
FLOOR = {folder: i for i, floor in enumerate(FLOORS) for folder in floor}
TOP = len(FLOORS)  # commands, and files beside the folders, may import everything
# The package's own file offers callers the top floor's load(); no floor imports it for that.
FILES = sorted(set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py"})


def floor(parts: tuple[str, ...]) -> int:
    """Return the floor of a module below mole_jax, given by its path parts."""
    if parts[-1:] == ("__main__",):
        return TOP
    inner = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((FLOOR[folder] for folder in inner if folder in FLOOR), TOP)


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
    inside = path.relative_to(PACKAGE).with_suffix("").parts
    # What a folder offers by its own name may come from its rooms.
    own = max(
        i
        for folder, i in [("", floor(inside)), *FLOOR.items()]
        if not folder or (inside[-1] == "__init__" and folder.startswith(f"{inside[0]}."))
    )
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
    folders = {path.relative_to(PACKAGE).parent for path in PACKAGE.rglob("*.py")} - {Path()}
    known = {Path(*folder.split(".")) for folder in FLOOR}
    assert folders == known, "give every folder its place in FLOORS"


def test_no_two_public_classes_have_one_name() -> None:
    trees = {path: ast.parse(path.read_text()) for path in FILES}
    names = [n.name for tree in trees.values() for n in tree.body if isinstance(n, ast.ClassDef)]
    assert sorted({n for n in names if names.count(n) > 1 and not n.startswith("_")}) == []


def test_no_two_files_have_one_name() -> None:
    names = [path.stem for path in FILES if not path.stem.startswith("__")]
    assert sorted(n for n in set(names) if names.count(n) > 1) == []


@pytest.mark.parametrize(
    "line",
    [
        "import mole_jax.zoo.storage.store",
        "from mole_jax.zoo.storage.store import open_zoo",
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
