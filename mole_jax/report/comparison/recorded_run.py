"""The runs to compare: found where the user says, given distinct names, and only ever read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.report.evaluation_file import read_evaluation
from mole_jax.report.findings import Result

FILE = "evaluation.json"


@dataclass(frozen=True, eq=False)
class Run:
    """One evaluated experiment.

    Attributes:
        name: its name in tables: the folder's, with folders above it if two are alike.
        path: its evaluation.json.
        workdir: where its zoo and per-task results are; None if the file is not in a workdir.
        evaluation: the file's content.
    """

    name: str
    path: Path
    workdir: Path | None
    evaluation: Mapping[str, Any]

    @property
    def splits(self) -> Mapping[str, Result]:
        """Return the splits that it was evaluated on, by name."""
        return self.evaluation["splits"]

    @property
    def config(self) -> dict[str, Any]:
        """Return its resolved config, with today's names; empty if none is recorded."""
        return compat.renamed(self.evaluation.get("config") or {})


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read two or more runs, each a workdir or an evaluation.json.

    Raises:
        UserError: for fewer than two paths, one that is given twice, or one that is neither.
    """
    if len(paths) < 2:
        raise UserError(
            f"{'one run is' if paths else 'no run is'} given, but comparing takes two or more: "
            "python -m mole_jax.report compare WORKDIR WORKDIR"
        )
    found = [_find(path) for path in paths]
    files = [file.resolve() for file, _ in found]
    for file, path in zip(files, paths, strict=True):
        if files.count(file) > 1:
            raise UserError(f"{path} is given twice: name each run once")
    names = _names([_parts(file, workdir) for file, workdir in found])
    return [
        Run(name, file, workdir, read_evaluation(file))
        for name, (file, workdir) in zip(names, found, strict=True)
    ]


def splits_of(runs: Sequence[Run]) -> list[str]:
    """Return the splits that any run has, the headline's first."""
    names = list(dict.fromkeys(split for run in runs for split in run.splits))
    return sorted(names, key=lambda split: split != "S1")


def _find(path: Path) -> tuple[Path, Path | None]:
    """Return a run's evaluation.json, and its workdir if it lies in one."""
    if path.is_file():
        above = path.resolve().parent
        is_in_place = path.name == FILE and above.name == "report"
        return path, above.parent if is_in_place else None
    if not path.exists():
        raise UserError(f"{path} does not exist: give a workdir, or the path of an {FILE}")
    file = path / "report" / FILE
    if not file.exists():
        if not (path / stages.MARK).exists():
            raise UserError(
                f"{path} is not a workdir: it has no {stages.MARK}; give the folder that --workdir "
                f"named, or the path of an {FILE}"
            )
        raise UserError(
            f"{file} is missing: run the evaluate stage first (python -m mole_jax.main "
            f"--config=... --workdir={path} --stages=evaluate)"
        )
    return file, path


def _parts(file: Path, workdir: Path | None) -> tuple[str, ...]:
    """Return the parts of the path that names a run."""
    if workdir is not None:
        return workdir.resolve().parts
    file = file.resolve()
    return file.parent.parts if file.name == FILE else file.with_suffix("").parts


def _names(parts: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the last part of each path, or more parts if two names would be the same."""
    for n in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-n:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    return ["/".join(own) for own in parts]  # x.json and x.txt of one folder
