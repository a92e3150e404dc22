"""Model zoos as folders of PyTorch checkpoints, the way Ray Tune leaves them.

    DIR/RUN/checkpoint_000050/checkpoints   what torch.save wrote: a state_dict, alone or with an
                                            optimizer's; also checkpoint_50, or another file name
    DIR/RUN/result.json                     a JSON object a line, one an epoch: its metrics
    DIR/RUN/params.json                     how the run was trained; may be missing

A snapshot is a checkpoint with a line in result.json: the line that names it
("checkpoint_dir_name"), or whose iteration is its number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage.torch_file import Tensor, TorchFile
from mole_jax.tasks.networks.state_dict import one_network
from mole_jax.tasks.networks.torch_layout import TorchLayout
from mole_jax.zoo.importing.foreign import (
    ITERATION,
    LARGEST,
    DataSet,
    Progress,
    Scanned,
    StoredHistory,
    UnusableRunError,
    agreed,
    check_activation,
    check_folder,
    hyperparameters,
    is_finite,
    one_line,
    stored_name,
    with_progress,
)

RESULT, PARAMS = "result.json", "params.json"
_CHECKPOINT = re.compile(r"checkpoint[_-]?(\d+)(?:\.(?:pt|pth|ckpt|bin|tar))?")
_FILES = ("checkpoints", "checkpoint")  # what the file in a checkpoint's folder is called
_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".tar")  # or how it ends, where there is one such
_NAMED = "checkpoint_dir_name"  # the line of result.json says which checkpoint it belongs to
_ITERATIONS = ("training_iteration", "iteration", "epoch", "step", "global_step")
# Where a checkpoint has its state_dict, when it has more than that.
_ENTRIES = ("state_dict", "model_state_dict", "model", "net", "network")


class _Snapshot(NamedTuple):
    number: int
    entry: str  # of the run's folder
    line: Mapping[str, Any]  # of result.json


def scan(
    path: Path,
    activation: str,
    *,
    wanted: str = "",
    limit: int = 0,
    progress: Progress | None = None,
) -> DataSet:
    """Read result.json and params.json of every run, and keep what distinguishes the runs.

    Args:
        path: the data set.
        activation: of the network that is asked for; runs that state another are unusable.
        wanted: the prompt metric, where it is given.
        limit: only this many runs; 0 for all.
        progress: makes a bar, as `core.progress.Progress` does.

    Raises:
        UserError: when this is no such data set, or none of its runs can be used.
    """
    folders = _folders(path)
    found: list[Scanned] = []
    without: list[str] = []
    for folder in with_progress(folders[:limit] if limit else folders, progress, "runs"):
        details: Mapping[str, Any] = {}
        try:
            details = _params(path / folder)
            check_activation(details, activation)
            snapshots, left = _snapshots(path / folder)
            without += [f"{folder}/{entry}" for entry in left]
            found.append(_scanned(folder, snapshots, details))
        except (UnusableRunError, OSError) as error:
            found.append(Scanned(folder, folder, details=details, problem=_told(error)))
    notes = []
    if without:
        notes.append(
            f"checkpoints without a line in {RESULT} are left out: {len(without)}, such as "
            f"{without[0]}"
        )
    return agreed(path, found, wanted, notes)


def read(data: DataSet, position: int, torch: TorchLayout) -> StoredHistory:
    """Read the run at a position; raise UnusableRunError if a checkpoint is unusable."""
    folder = data.path / data.runs[position].folder
    try:
        return _read(data, folder, data.details[position] if data.details else {}, torch)
    except OSError as error:
        raise UnusableRunError(_told(error)) from error


def _read(
    data: DataSet, folder: Path, details: Mapping[str, Any], torch: TorchLayout
) -> StoredHistory:
    snapshots, _ = _snapshots(folder)
    if len(snapshots) != data.n_snapshots:
        raise UnusableRunError(f"has changed since it was scanned: {len(snapshots)} snapshots")
    rows = []
    for snapshot in snapshots:
        file = _file(folder, snapshot.entry)
        try:
            rows.append(_parameters(file, torch, str(file.relative_to(folder))))
        except UserError as error:
            raise UnusableRunError(one_line(error).replace(f"{folder}/", "")) from error
    lines = [_metrics(snapshot.line) for snapshot in snapshots]
    return StoredHistory(
        parameters=np.stack(rows),
        snapshots=[snapshot.entry for snapshot in snapshots],
        metrics={
            name: np.array([line.get(name, np.nan) for line in lines]) for name in data.metrics
        },
        fields={ITERATION: np.array([snapshot.number for snapshot in snapshots])},
        hyperparameters=hyperparameters(details),
    )


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of one run."""
    return folder.is_dir() and (
        (folder / RESULT).exists() or any(_CHECKPOINT.fullmatch(e.name) for e in folder.iterdir())
    )


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read ({one_line(error)})"
    return str(error)


def _folders(path: Path) -> list[str]:
    check_folder(path)
    if is_run(path):
        raise UserError(f"{path} is the folder of one run; give the data set's, which holds it")
    try:
        found = sorted(entry.name for entry in path.iterdir() if is_run(entry))
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be read ({error.strerror})") from error
    if not found:
        raise UserError(
            f"{path} is no zoo of checkpoints: no folder in it has {RESULT} or checkpoint_N, and "
            "it has no weights.npy; give the folder that holds one folder per run"
        )
    return found


def _scanned(folder: str, snapshots: list[_Snapshot], details: Mapping[str, Any]) -> Scanned:
    numbers = [set(_metrics(snapshot.line)) for snapshot in snapshots]
    columns = {stored_name(name) for snapshot in snapshots for name in _columns(snapshot.line)}
    return Scanned(
        folder,
        folder,
        tuple(snapshot.number for snapshot in snapshots),
        frozenset(set.intersection(*numbers)),
        frozenset(columns),
        details,
    )


def _snapshots(folder: Path) -> tuple[list[_Snapshot], list[str]]:
    """Return a run's snapshots in the order of their numbers, and checkpoints without metrics."""
    entries: dict[int, str] = {}
    for entry in sorted(entry.name for entry in folder.iterdir()):
        match = _CHECKPOINT.fullmatch(entry)
        if match is None:
            continue
        number = int(match[1])
        if number in entries:
            raise UnusableRunError(f"has the checkpoint {number} twice: {entries[number]}, {entry}")
        if number > LARGEST:
            raise UnusableRunError(f"has a checkpoint with a number above {LARGEST}: {entry}")
        entries[number] = entry
    if not entries:
        raise UnusableRunError("has no checkpoints: no entry of its folder is called checkpoint_N")
    numbers = {entry: number for number, entry in entries.items()}
    lines: dict[int, Mapping[str, Any]] = {}
    for i, line in _lines(folder / RESULT):
        named = line.get(_NAMED)
        if isinstance(named, str):
            number = numbers.get(Path(named).name, -1)
        else:
            number = _iteration(line, i)
        lines[number] = line  # the last one counts if a run was resumed
    found = [_Snapshot(n, entries[n], lines[n]) for n in sorted(entries) if n in lines]
    if not found:
        raise UnusableRunError(
            f"has no line in {RESULT} for any checkpoint: {', '.join(list(entries.values())[:3])}"
        )
    return found, [entries[n] for n in sorted(entries) if n not in lines]


def _iteration(line: Mapping[str, Any], i: int) -> int:
    name = next((name for name in _ITERATIONS if name in line), None)
    if name is None:
        raise UnusableRunError(f"{RESULT}, line {i} has none of {', '.join(_ITERATIONS)}")
    value = line[name]
    if not is_finite(value) or value != int(value):
        raise UnusableRunError(f"{RESULT}, line {i}: {name} is {value!r}, no whole number")
    return int(value)


def _lines(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        with file.open(encoding="utf-8") as text:
            for i, line in enumerate(text, 1):
                if line.strip():
                    found = json.loads(line)
                    if not isinstance(found, dict):
                        raise UnusableRunError(f"{RESULT}, line {i} is no JSON object")
                    yield i, found
    except FileNotFoundError:
        raise UnusableRunError(f"lacks {RESULT}: there is no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableRunError(f"{RESULT} cannot be read ({one_line(error)})") from error


def _columns(line: Mapping[str, Any]) -> list[str]:
    """Return the columns of a line, but for the one that identifies its snapshot."""
    own = next((name for name in _ITERATIONS if name in line), None)
    return [name for name in line if name not in (own, _NAMED)]


def _metrics(line: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name in _columns(line):
        if is_finite(line[name]):
            stored = stored_name(name)
            if stored in found:
                raise UnusableRunError(f"{RESULT} has two metrics that a zoo would call {stored}")
            found[stored] = float(line[name])
    return found


def _params(folder: Path) -> Mapping[str, Any]:
    file = folder / PARAMS
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableRunError(f"{PARAMS} cannot be read ({one_line(error)})") from error
    if not isinstance(found, dict):
        raise UnusableRunError(f"{PARAMS} is no JSON object")
    return found


def _file(folder: Path, entry: str) -> Path:
    """Return a checkpoint's file: the entry itself, or the one in it that holds the weights."""
    path = folder / entry
    if not path.is_dir():
        return path
    for name in _FILES:
        if (path / name).is_file():
            return path / name
    files = sorted(
        f for f in path.iterdir() if f.is_file() and not f.name.startswith(".")
        and not f.name.endswith((".json", ".tune_metadata"))
    )  # fmt: skip
    likely = [file for file in files if file.suffix in _SUFFIXES] or files
    if len(likely) != 1:
        names = ", ".join(file.name for file in likely) or "no file"
        raise UnusableRunError(f"{entry} has {names}: one file with the state_dict is needed")
    return likely[0]


def _parameters(file: Path, torch: TorchLayout, where: str) -> np.ndarray:
    with TorchFile(file) as opened:
        state = _state_dict(opened.content, where)
        flat = torch.from_state_dict({n: opened.read(t) for n, t in state.items()}, where)
    return one_network(flat, where)


def _state_dict(content: Any, where: str) -> Mapping[str, Tensor]:
    """Find the tensors by name, wherever in the file they are; raise UserError for none."""
    if isinstance(content, Mapping):
        if content and all(
            isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
        ):
            return content
        inner = [name for name in _ENTRIES if isinstance(content.get(name), Mapping)]
        if len(inner) == 1:
            return _state_dict(content[inner[0]], where)
        names = ", ".join(map(str, list(content)[:8])) or "nothing"
        raise UserError(
            f"{where} has no unambiguous state_dict: it has {names}; one of "
            f"{', '.join(_ENTRIES)} is needed, or the tensors by name"
        )
    raise UserError(f"{where} holds no state_dict, but a {type(content).__name__}")
