"""The checkpoint data sets of G.pt (Peebles et al. 2022): what their folders hold.

    DIR/RUN/data.mdb     LMDB: RUN/epEEE_itIIIII.pt -> D float32, in PyTorch's order; the same key
                         with _arch -> the size of each tensor, as float32
    DIR/RUN/runs.json    {"checkpoints": {key: {metric: number}}, "metadata": {...}}
    DIR/RUN/DONE.txt     the run is finished
    DIR/RUN_RUN_.../     a fused folder: several runs in one LMDB; runs.json is keyed by run

The keys of policies have no epoch: RUN/itIIIII.pt.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import lmdb
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.zoo.importing.foreign import (
    EPOCH,
    FOLDER_NAME,
    ITERATION,
    LARGEST,
    DataSet,
    Progress,
    StoredRun,
    UnusableRunError,
    check_folder,
    is_finite,
    one_line,
    with_progress,
)

DATA, JSON, DONE = "data.mdb", "runs.json", "DONE.txt"
ARCH = "_arch"
_KEY = re.compile(r"(?:(?P<run>.+)/)?(?:ep(?P<epoch>\d+)_)?it(?P<iteration>\d+)\.pt")


class Checkpoint(NamedTuple):
    """One snapshot, as runs.json has it."""

    key: str
    epoch: int | None
    iteration: int
    metrics: dict[str, float]


class _Shape(NamedTuple):
    """What runs must have in common to be in one zoo."""

    n_snapshots: int
    metrics: tuple[str, ...]
    has_epochs: bool


def scan(
    path: str | Path,
    *,
    unfinished: bool = False,
    progress: Progress | None = None,
) -> DataSet:
    """Read the runs.json of every folder, one at a time, and keep names and problems only.

    A run is usable when it is finished, its checkpoints can be understood, and it has as many of
    them and the same metrics as most runs. In a fused folder, which is made of finished runs, the
    number of checkpoints decides, and no DONE.txt is needed.

    Args:
        path: the data set.
        unfinished: treat runs without DONE.txt as finished.
        progress: makes a bar, as `core.console.progress.Progress` does.

    Raises:
        UserError: if this is not such a data set, or none of its runs can be used.
    """
    path = Path(path)
    folders = _folders(path)
    runs: list[StoredRun] = []
    shapes: list[_Shape | None] = []
    iterations: dict[_Shape, tuple[int, ...] | None] = {}
    seen: dict[str, str] = {}
    for folder in with_progress(folders, progress, "folders"):
        for name, found in _runs(path / folder):
            shape, problem = None, found if isinstance(found, str) else None
            if not isinstance(found, str):
                try:
                    history, fused = _history(found.content), found.fused
                    name = _name(history, name)
                    shape = _shape(history)
                    if not fused and not unfinished and not (path / folder / DONE).is_file():
                        raise UnusableRunError(f"is not finished: it has no {DONE}")
                    own = tuple(checkpoint.iteration for checkpoint in history)
                    if iterations.setdefault(shape, own) != own:
                        iterations[shape] = None
                except UnusableRunError as error:
                    shape, problem = None, str(error)
            if name in seen:
                shape, problem = None, f"is in the folder {seen[name]}, too"
                name = f"{name} in {folder}"
            seen.setdefault(name, folder)
            runs.append(StoredRun(name, folder, problem))
            shapes.append(shape)
    counted = Counter(shape for shape in shapes if shape is not None)
    if not counted:
        raise UserError(_nothing(path, runs))
    usual = counted.most_common(1)[0][0]
    for i, shape in enumerate(shapes):
        if shape is not None and shape != usual:
            runs[i] = dataclasses.replace(runs[i], problem=_unusual(shape, usual))
    for name in usual.metrics:
        if not FOLDER_NAME.fullmatch(name):
            raise UserError(
                f"{path}: the metric {name!r} cannot name a folder; rename it in {JSON}, with "
                "letters, digits, '_', '.' and '-'"
            )
    fields = (EPOCH, ITERATION) if usual.has_epochs else (ITERATION,)
    return DataSet(path, tuple(runs), usual.n_snapshots, usual.metrics, fields, iterations[usual])


class RunReader:
    """Reads the runs of a data set one after the other; one folder is open at a time."""

    def __init__(self, data: DataSet, sizes: list[int]) -> None:
        """`sizes`: how many numbers each tensor of a network has."""
        self._data = data
        self._sizes = sizes
        self._folder: str | None = None
        self._environment: lmdb.Environment | None = None
        self._contents: dict[str, list[Checkpoint]] = {}

    def history(self, run: StoredRun) -> list[Checkpoint]:
        """Return the checkpoints of a run in the order of time."""
        self._enter(run.folder)
        try:
            return self._contents[run.name]
        except KeyError:
            raise UnusableRunError(f"is no longer in {JSON}") from None

    def parameters(self, run: StoredRun) -> np.ndarray:
        """Read parameters [S, D] in PyTorch's order, including those that are not finite.

        Raises UnusableRunError when a checkpoint is missing, of another size, or unreadable.
        """
        history = self.history(run)
        size = sum(self._sizes)
        stored = np.empty((len(history), size), "<f4")
        try:
            with self._opened(run.folder).begin(buffers=True) as transaction:
                for row, checkpoint in zip(stored, history, strict=True):
                    key = checkpoint.key.encode(errors="surrogatepass")
                    value = transaction.get(key)
                    if value is None:
                        raise UnusableRunError(f"lacks {checkpoint.key}: {DATA} has no such key")
                    if len(value) != 4 * size:
                        raise UnusableRunError(
                            f"{checkpoint.key} is {len(value)} bytes, but {size} float32 numbers "
                            f"are {4 * size}"
                        )
                    row[:] = np.frombuffer(value, "<f4")
                    self._check_sizes(checkpoint.key, transaction.get(key + ARCH.encode()))
        except lmdb.Error as error:
            raise UnusableRunError(f"{DATA} cannot be read ({error})") from error
        return stored.astype(np.float32, copy=False)

    def _check_sizes(self, key: str, value: Any) -> None:
        if value is None:
            raise UnusableRunError(f"lacks {key}{ARCH}: {DATA} has no such key")
        sizes = np.frombuffer(value, "<f4").tolist() if len(value) % 4 == 0 else []
        if sizes != self._sizes:
            shown = ", ".join(f"{n:g}" for n in sizes) or f"{len(value)} bytes"
            wanted = ", ".join(map(str, self._sizes))
            raise UnusableRunError(f"{key}{ARCH} says tensors of {shown} numbers, not {wanted}")

    def _enter(self, folder: str) -> None:
        if folder == self._folder:
            return
        self.close()
        contents = {}
        for name, found in _runs(self._data.path / folder):
            if not isinstance(found, str):
                try:
                    history = _history(found.content)
                except UnusableRunError:
                    continue
                contents[_name(history, name)] = history
        self._folder, self._contents = folder, contents

    def _opened(self, folder: str) -> lmdb.Environment:
        self._enter(folder)
        if self._environment is None:
            file = self._data.path / folder / DATA
            if not file.is_file():
                raise UnusableRunError(f"lacks {DATA}: there is no such file")
            # Data sets may lie on a file system that is read-only, where no lock can be made.
            environment = lmdb.open(
                str(file.parent), readonly=True, lock=False, readahead=False, create=False
            )
            # LMDB maps the file into memory: reading what is missing would end the process.
            pages = environment.info()["last_pgno"] + 1
            expected = pages * environment.stat()["psize"]
            if file.stat().st_size < expected:
                environment.close()
                raise UnusableRunError(
                    f"{DATA} is truncated: {file.stat().st_size} of {expected} bytes"
                )
            self._environment = environment
        return self._environment

    def close(self) -> None:
        """Close the folder that is open."""
        if self._environment is not None:
            self._environment.close()
        self._folder, self._environment, self._contents = None, None, {}

    def __enter__(self) -> RunReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Found(NamedTuple):
    """What runs.json says of a run."""

    content: Mapping[str, Any]
    fused: bool


def _folders(path: Path) -> list[str]:
    check_folder(path)
    if (path / DATA).exists():
        raise UserError(f"{path} is the folder of one run; give the data set's, which holds it")
    found = sorted(
        entry.name
        for entry in path.iterdir()
        if entry.is_dir() and ((entry / DATA).exists() or (entry / JSON).exists())
    )
    if not found:
        raise UserError(
            f"{path} is not a checkpoint data set: no folder in it has {DATA} and {JSON}; give "
            "the folder that holds one folder per run"
        )
    return found


def _runs(folder: Path) -> list[tuple[str, _Found | str]]:
    """Return the runs of a folder by name: what runs.json says of each, or its problem."""
    names = folder.name.split("_")
    try:
        content = json.loads((folder / JSON).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is not an object")
    except FileNotFoundError:
        return [(folder.name, f"lacks {JSON}: there is no such file")]
    except (OSError, ValueError, RecursionError) as error:
        return [(folder.name, f"{JSON} cannot be read ({one_line(error)})")]
    if "checkpoints" in content:
        return [(folder.name, _Found(content, fused=False))]
    # Fused: in the order of the folder's name, as G.pt has them, then any others.
    order = [name for name in names if name in content]
    order += [name for name in content if name not in names]
    found: list[tuple[str, _Found | str]] = []
    for name in order:
        part = content[name]
        good = isinstance(part, dict) and "checkpoints" in part
        problem = f"{JSON} has no checkpoints of it"
        found.append((name, _Found(part, fused=True) if good else problem))
    found += [(name, f"is not in {JSON}") for name in names if name not in content]
    return found or [(folder.name, f"{JSON} has no runs")]


def _history(content: Mapping[str, Any]) -> list[Checkpoint]:
    """Return the checkpoints that runs.json lists for a run, in the order of time."""
    checkpoints = content["checkpoints"]
    if not isinstance(checkpoints, dict) or not checkpoints:
        raise UnusableRunError(f"{JSON} has no checkpoints of it")
    found = []
    for key, metrics in checkpoints.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise UnusableRunError(f"the key {key!r} is not RUN/epEEE_itIIIII.pt")
        epoch = None if match["epoch"] is None else int(match["epoch"])
        iteration = int(match["iteration"])
        if max(epoch or 0, iteration) > LARGEST:
            raise UnusableRunError(f"the key {key!r} has a number above {LARGEST}")
        if not isinstance(metrics, dict):
            raise UnusableRunError(f"{JSON} has no metrics of {key}")
        for name, value in metrics.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise UnusableRunError(f"{name} of {key} is not a number")
            if not is_finite(value):
                raise UnusableRunError(f"{name} of {key} is not finite")
        numbers = {name: float(value) for name, value in metrics.items()}
        found.append(Checkpoint(key, epoch, iteration, numbers))
    if len({checkpoint.epoch is None for checkpoint in found}) > 1:
        raise UnusableRunError("some of its keys have an epoch, and some have none")
    found.sort(key=lambda checkpoint: (checkpoint.epoch or 0, checkpoint.iteration))
    return found


def _name(history: list[Checkpoint], name: str) -> str:
    """Return the name that the keys of a run give it, if they agree."""
    prefixes = {key.rpartition("/")[0] for key, *_ in history}
    return prefixes.pop() if len(prefixes) == 1 and prefixes != {""} else name


def _shape(history: list[Checkpoint]) -> _Shape:
    names = tuple(history[0].metrics)
    for checkpoint in history:
        if set(checkpoint.metrics) != set(names):
            raise UnusableRunError(f"its checkpoints have different metrics: see {checkpoint.key}")
    return _Shape(len(history), tuple(sorted(names)), history[0].epoch is not None)


def _unusual(shape: _Shape, usual: _Shape) -> str:
    if shape.n_snapshots != usual.n_snapshots:
        return f"has {shape.n_snapshots} checkpoints, but most runs have {usual.n_snapshots}"
    if shape.metrics != usual.metrics:
        return (
            f"has the metrics {', '.join(shape.metrics) or 'none'}, but most runs have "
            f"{', '.join(usual.metrics) or 'none'}"
        )
    return f"its keys have {'an' if shape.has_epochs else 'no'} epoch, unlike those of most runs"


def _nothing(path: Path, runs: list[StoredRun]) -> str:
    first = runs[0]
    remedy = "fix the runs"
    if all(DONE in (run.problem or "") for run in runs):
        remedy = "add --unfinished to take such runs, too"
    unusable = f"{path}: none of its {len(runs)} runs can be used"
    return f"{unusable}; {first.name} {first.problem}; {remedy}"
