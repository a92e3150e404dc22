"""zoo.json: what a zoo is and how many of its runs count. Replacing it is the only commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.core.files import read_json, write_json
from mole_jax.zoo.schema import ZooSchema

FORMAT = "mole-zoo"
VERSION = 1
FILE = "zoo.json"


@dataclass(frozen=True)
class Manifest:
    """The contents of zoo.json; rows of the arrays beyond `n_runs` do not belong to the zoo."""

    schema: ZooSchema
    n_runs: int
    created: str  # ISO 8601, UTC
    codes: Mapping[str, tuple[str, ...]]  # run field -> the strings its codes stand for


def write_manifest(path: str | Path, manifest: Manifest) -> None:
    """Replaces zoo.json atomically: before it the old number of runs holds, after it the new."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "created": manifest.created,
        "n_runs": manifest.n_runs,
        "codes": {name: list(table) for name, table in manifest.codes.items()},
    }
    write_json(Path(path) / FILE, head | manifest.schema.to_json())


def read_manifest(path: str | Path) -> Manifest:
    """Reads zoo.json; raises UserError when PATH is no zoo, of another version, or damaged."""
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"no zoo at {path}: there is no such folder; check the path")
    file = path / FILE
    if not file.is_file():
        raise UserError(f"{path} is not a zoo: it has no {FILE}; give the folder that holds it")
    obj: Any = read_json(file)
    if not isinstance(obj, dict) or obj.get("format") != FORMAT:
        raise UserError(f'{path} is not a zoo: {FILE} does not say "format": "{FORMAT}"')
    if obj.get("version") != VERSION:
        raise UserError(
            f"{path} is a zoo of version {obj.get('version')}, and this MOLE reads version "
            f"{VERSION}; make the zoo again, or use the MOLE that wrote it"
        )
    try:
        n_runs = obj["n_runs"]
        if not isinstance(n_runs, int) or n_runs < 0:
            raise ValueError(f"n_runs is {n_runs!r}")
        return Manifest(
            schema=ZooSchema.from_json(obj),
            n_runs=n_runs,
            created=str(obj["created"]),
            codes={name: tuple(obj["codes"][name]) for name in ("split", "optimizer")},
        )
    except KeyError as error:
        raise UserError(f"{file} is damaged: it lacks {error}; make the zoo again") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged: {error}; make the zoo again") from error
