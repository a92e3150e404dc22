"""The study's rows as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import machine
from benchmarks.representations.cells import MEDIA


def of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return scores (%) by split, and what they cost, a row for each training."""
    splits = list(rows[0]["splits"])
    head = (
        *("medium", "probes", "start", "parametrisation", "L x C", "million", "steps"),
        *("decoded %", *(f"{split} %" for split in splits)),
        *("R2", "rho", "Z_U", "diversity", "ms"),
    )
    return machine.table(head, [_row(row, splits) for row in rows])


def _row(row: Mapping[str, Any], splits: Sequence[str]) -> tuple[Any, ...]:
    main = row["splits"]["S1" if "S1" in splits else splits[0]]
    back = row["reconstruction"]
    return (
        MEDIA[row["medium"]].label,
        "yes" if row["follows"] else "no",
        "shared" if row["shared_start"] else "own",
        row["parametrisation"],
        "{} x {}".format(*row["tokens"]),
        f"{row['parameters'] / 1e6:.2f}",
        f"{row['steps']:,}",
        f"{100 * back['decoded']:.1f} of {100 * back['as they are']:.1f}",
        *(f"{100 * row['splits'][split]['mean']:.1f}" for split in splits),
        *(_shown(main[key]) for key in ("r2", "rho", "z_u", "diversity")),
        f"{1e3 * row['cost']['seconds_per_task']:.2g}",
    )


def _shown(x: float | None) -> str:
    return "" if x is None else f"{x:.2f}"
