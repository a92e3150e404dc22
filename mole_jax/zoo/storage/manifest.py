"""zoo.json: what a zoo is; runs.json: how many runs count. Replacing the latter is the commit.

They are two files because the first grows with the task table, and a commit comes after each group
of runs. Zoos of version 1 keep the number in zoo.json: they are read, but not appended to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import read_json, write_json
from mole_jax.zoo.storage.schema import ZooSchema

FORMAT = "mole-zoo"
VERSION = 2
READABLE = (1, 2)
FILE = "zoo.json"
COMMIT = "runs.json"


@dataclass(frozen=True)
class Manifest:
    """What zoo.json and runs.json say; rows of the arrays beyond `n_runs` do not count."""

    schema: ZooSchema
    n_runs: int
    created: str  # ISO 8601, UTC
    codes: Mapping[str, tuple[str, ...]]  # run field -> the strings its codes stand for
    version: int = VERSION

    @property
    def counted_in(self) -> str:
        """The file that says `n_runs`."""
        return FILE if self.version == 1 else COMMIT


def write_manifest(path: str | Path, manifest: Manifest) -> None:
    """Replace zoo.json atomically; `n_runs` is not in it, see `commit`."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "created": manifest.created,
        "codes": {name: list(table) for name, table in manifest.codes.items()},
    }
    write_json(Path(path) / FILE, head | manifest.schema.to_json())


def commit(path: str | Path, n_runs: int) -> None:
    """Replace runs.json atomically: before it the old number of runs holds, after it the new."""
    write_json(Path(path) / COMMIT, {"n_runs": n_runs})


def read_manifest(path: str | Path) -> Manifest:
    """Read both files; raise UserError if PATH is no zoo, of another version, or damaged."""
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"no zoo at {path}: there is no such folder; check the path")
    file = path / FILE
    if not file.is_file():
        raise UserError(f"{path} is not a zoo: it has no {FILE}; give the folder that holds it")
    obj: Any = read_json(file)
    if not isinstance(obj, dict) or obj.get("format") != FORMAT:
        raise UserError(f'{path} is not a zoo: {FILE} does not say "format": "{FORMAT}"')
    version = obj.get("version")
    if version not in READABLE:
        raise UserError(
            f"{path} is a zoo of version {version}, and this MOLE reads versions "
            f"{', '.join(map(str, READABLE))}; make the zoo again, or use the MOLE that wrote it"
        )
    counts = obj
    if version != 1:
        file = path / COMMIT
        counts = read_json(file)
    try:
        n_runs = counts["n_runs"]
        if not isinstance(n_runs, int) or n_runs < 0:
            raise ValueError(f"n_runs is {n_runs!r}")
        file = path / FILE
        return Manifest(
            schema=ZooSchema.from_json(obj),
            n_runs=n_runs,
            version=version,
            created=str(obj["created"]),
            codes={name: tuple(obj["codes"][name]) for name in ("split", "optimizer")},
        )
    except KeyError as error:
        raise UserError(f"{file} is damaged: it lacks {error}; make the zoo again") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged: {error}; make the zoo again") from error
