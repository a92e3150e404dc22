"""A table in CSV, gzipped or not, column by column: each distinct text once, and its rows."""

from __future__ import annotations

import array
import csv
import dataclasses
import gzip
import zlib
from pathlib import Path

import numpy as np

from mole_jax.core.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """The cells of a column."""

    texts: tuple[str, ...]  # different ones, in the order of their first row
    codes: np.ndarray  # [row] position in `texts`

    def numbers(self) -> np.ndarray | None:
        """Return the cells [row] as float64, empty ones as NaN; None where a cell is no number."""
        try:
            values = np.array([float(text) if text else np.nan for text in self.texts])
        except ValueError:
            return None
        return values[self.codes]


def read_table(file: Path) -> dict[str, Column]:
    """Return the columns of a table by name, those without a name left out.

    Raises:
        UserError: for a file that cannot be read, and rows that do not fit the first one.
    """
    texts: list[dict[str, int]] = []
    codes: list[array.array] = []
    try:
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(file, "rt", encoding="utf-8", newline="") as text:
            rows = csv.reader(text)
            header = next(rows, [])
            texts, codes = [{} for _ in header], [array.array("i") for _ in header]
            for i, row in enumerate(rows, 2):
                if len(row) != len(header):
                    raise UserError(
                        f"{file}, row {i} has {len(row)} cells, and the first row {len(header)}"
                    )
                for cell, known, column in zip(row, texts, codes, strict=True):
                    column.append(known.setdefault(cell.strip(), len(known)))
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as a table ({error})") from error
    names = [name.strip() for name in header]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise UserError(f"{file} has the column {twice[0]} twice")
    return {
        name: Column(tuple(known), np.array(column, np.int32))
        for name, known, column in zip(names, texts, codes, strict=True)
        if name
    }
