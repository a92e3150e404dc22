"""Model zoos as one matrix: a row of weights for each snapshot, and a table that describes it.

DIR/weights.npy      [rows, D] floating point; read in pieces, however large
DIR/metrics.csv.gz   or metrics.csv: a row for each row of weights, with the run's name, the
                     step, metrics, and how the run was trained
DIR/layout.json      which tensor each column of the weights belongs to: `matrix_layout`
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks.state_dict import check_weight_dtype, weights
from mole_jax.tasks.networks.torch_layout import TorchLayout
from mole_jax.zoo.importing.foreign import (
    ITERATION,
    LARGEST,
    DataSet,
    Scanned,
    StoredHistory,
    UnusableRunError,
    agreed,
    check_activation,
    hyperparameters,
    is_finite,
    stored_name,
)
from mole_jax.zoo.importing.matrix_layout import columns, read_layout
from mole_jax.zoo.importing.table import Column, read_table

WEIGHTS = "weights.npy"
TABLES = ("metrics.csv.gz", "metrics.csv")
RUN_COLUMNS = ("run", "run_id", "model", "model_id", "modeldir", "trial_id", "id")
STEP_COLUMNS = ("step", "epoch", "iteration", "training_iteration", "checkpoint")
_CONFIG = ("config.", "config/", "params.", "params/")
_MEASURES = ("loss", "error", "err", "accuracy", "acc", "return", "ret")


@dataclasses.dataclass(frozen=True, eq=False)
class Matrix:
    """An opened matrix: rows of runs, and what the table says of them."""

    data: DataSet
    rows: tuple[np.ndarray, ...]  # of each run's snapshots, in the order of steps
    _weights: np.ndarray  # [rows, D], in the file
    _columns: np.ndarray  # [D] of the weights, in MOLE's order
    _metrics: Mapping[str, np.ndarray]  # name -> [row]

    def read(self, position: int) -> StoredHistory:
        """Read one run."""
        rows = self.rows[position]
        run = self.data.runs[position]
        # Read in the file's order, which is the disk's, too.
        order = np.argsort(rows)
        stored = np.empty((len(rows), self._weights.shape[1]), self._weights.dtype)
        for i in order.tolist():
            stored[i] = self._weights[rows[i]]
        steps = self._metrics[ITERATION][rows].astype(np.int64)
        details = self.data.details[position] if self.data.details else {}
        return StoredHistory(
            # The import finds what is not finite after the cast, and names its snapshot.
            parameters=weights(run.name, stored, finite=False)[:, self._columns],
            snapshots=[f"row {row} (step {step})" for row, step in zip(rows, steps, strict=True)],
            metrics={name: self._metrics[name][rows] for name in self.data.metrics},
            fields={ITERATION: steps},
            hyperparameters=hyperparameters(details),
        )


def open_matrix(
    path: Path,
    torch: TorchLayout,
    activation: str,
    *,
    wanted: str = "",
    limit: int = 0,
    run_column: str = "",
    step_column: str = "",
) -> Matrix:
    """Read the table and the layout, and leave the weights on disk.

    Args:
        path: the data set.
        torch: the network.
        activation: of the network; runs that state another are unusable.
        wanted: the prompt metric, where it is given.
        limit: only this many runs; 0 for all.
        run_column: names the runs; "" for the first of RUN_COLUMNS.
        step_column: the step of each row; "" for the first of STEP_COLUMNS.

    Raises:
        UserError: for files that cannot be read or do not belong together, a layout that is not
            the network's, and when no run can be used.
    """
    file = next((path / name for name in TABLES if (path / name).is_file()), None)
    if file is None:
        raise UserError(f"{path} has {WEIGHTS}, but no {' or '.join(TABLES)}")
    stored = _open(path / WEIGHTS)
    layout = read_layout(path)
    if layout.size != stored.shape[1]:
        raise UserError(
            f"{path / WEIGHTS} has {stored.shape[1]} columns, and {layout.file.name} says "
            f"{layout.size}"
        )
    index = columns(layout, torch)
    table = read_table(file)
    n_rows = len(next(iter(table.values())).codes) if table else 0
    if n_rows != len(stored):
        raise UserError(
            f"{path / WEIGHTS} has {len(stored)} rows, and {file.name} {n_rows} below its first"
        )
    if not n_rows:
        raise UserError(f"{path / WEIGHTS} has no rows")
    names = _column(file, table, run_column, RUN_COLUMNS, "run")
    steps = _steps(file, table, step_column, names)
    runs = table.pop(names)
    order = np.lexsort((steps, runs.codes))
    starts = np.searchsorted(runs.codes[order], np.arange(len(runs.texts)))
    rows = np.split(order, starts[1:])
    rows = rows[:limit] if limit else rows
    of_runs = {
        name for name, column in table.items() if _is_hyperparameter(name, column, order, starts)
    }
    metrics: dict[str, np.ndarray] = {}
    texts = set()
    for name in table.keys() - of_runs:
        values = table[name].numbers()
        if values is None:
            texts.add(name)
        elif stored_name(name) in metrics or stored_name(name) == ITERATION:
            raise UserError(f"{file}: two columns would both be called {stored_name(name)}")
        else:
            metrics[stored_name(name)] = values
    found = []
    numbers = {
        n: np.isfinite(v) & (np.abs(v) <= np.finfo(np.float32).max) for n, v in metrics.items()
    }
    everything = frozenset({*metrics, *texts})
    for name, its in zip(runs.texts, rows, strict=False):
        details = {s: _value(table[s], int(its[0])) for s in sorted(of_runs)}
        own = tuple(int(step) for step in np.nan_to_num(steps[its], nan=-1))
        found.append(
            Scanned(
                name or "(no name)",
                "",
                own,
                frozenset(n for n, good in numbers.items() if good[its].all()),
                everything,
                details,
                _problem(steps[its], details, activation),
            )
        )
    return Matrix(
        agreed(path, found, wanted), tuple(rows), stored, index, metrics | {ITERATION: steps}
    )


def _open(file: Path) -> np.ndarray:
    try:
        stored = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{file} cannot be read as a NumPy array ({error})") from error
    if not isinstance(stored, np.ndarray) or stored.ndim != 2:
        raise UserError(f"{file} must be a matrix [rows, D]: one row of weights for each snapshot")
    check_weight_dtype(str(file), stored.dtype)
    return stored


def _column(
    file: Path, table: Mapping[str, Column], asked: str, usual: Sequence[str], what: str
) -> str:
    name = asked or next((name for name in usual if name in table), "")
    if name not in table:
        said = f"no column {asked}" if asked else f"none of the columns {', '.join(usual)}"
        raise UserError(
            f"{file} has {said}; it has {', '.join(table)}: say with --{what}-column which of them "
            f"has the {what}"
        )
    return name


def _steps(file: Path, table: dict[str, Column], asked: str, names: str) -> np.ndarray:
    """Take the step of each row out of the table; a run of one row needs none."""
    alone = len(table[names].texts) == len(table[names].codes)
    if alone and not asked and not any(name in table for name in STEP_COLUMNS):
        return np.zeros(len(table[names].codes))
    name = _column(file, table, asked, STEP_COLUMNS, "step")
    if name == names:
        raise UserError(f"{file}: the column {name} cannot be both the run and the step")
    steps = table.pop(name).numbers()
    if steps is None:
        raise UserError(f"{file}: the column {name} must hold the step of each row, as a number")
    return steps


def _is_hyperparameter(name: str, column: Column, order: np.ndarray, starts: np.ndarray) -> bool:
    """Return whether a column says how a run was trained: it is the same in all rows of a run."""
    codes = column.codes[order]
    same = np.maximum.reduceat(codes, starts) == np.minimum.reduceat(codes, starts)
    if name.lower().startswith(_CONFIG):
        return bool(same.all())
    if column.numbers() is not None:
        if set(name.lower().replace(".", "_").split("_")) & set(_MEASURES):
            return False
        if len(starts) == len(codes):  # one row a run: only its name says what it is
            return bool(hyperparameters({name: 1.0}))
    return bool(same.all())


def _value(column: Column, row: int) -> Any:
    text = column.texts[column.codes[row]]
    try:
        number = float(text)
    except ValueError:
        return text
    return number if is_finite(number) else text


def _problem(steps: np.ndarray, details: Mapping[str, Any], activation: str) -> str | None:
    if not ((steps >= 0) & (steps <= LARGEST) & (steps == np.floor(steps))).all():
        return f"has a step that is no whole number between 0 and {LARGEST}"
    if (np.diff(steps) == 0).any():
        return "has a step twice"
    try:
        check_activation(details, activation)
    except UnusableRunError as error:
        return str(error)
    return None
