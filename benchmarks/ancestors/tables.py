"""Tables of what was reproduced, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import machine

Rows = Sequence[dict[str, Any]]


def of(name: str, rows: Rows) -> str:
    """Return the table of a benchmark by its name."""
    return _TABLES[name](rows)


def _sinusoids(rows: Rows) -> str:
    head = ("setting", "learner", "points", "steps", "error", "published", "source")
    lines = []
    for row in rows:
        known = row["published"] or {}
        lines.append(
            (
                row["setting"], row["learner"], row["shots"], row["steps"],
                _with(row["error"], row["half"]),
                _with(known["error"], known["half"]) if known else "",
                known.get("source", ""),
            )
        )  # fmt: skip
    return machine.table(head, lines)


def _optimizers(rows: Rows) -> str:
    steps = sorted({row["steps"] for row in rows})
    head = ("trained on", "tried on", "method", "rate", *(f"loss after {n}" for n in steps))
    found: dict[tuple[Any, ...], list[str]] = {}
    for row in rows:
        rate = "" if row["rate"] is None else f"{row['rate']:.2g}"
        key = (row["trained on"], row["tried on"], row["method"], rate)
        found.setdefault(key, []).append(_with(row["loss"], row["half"]))
    return machine.table(head, [(*key, *losses) for key, losses in found.items()])


def _readers(rows: Rows) -> str:
    shown = [int(n) for n in rows[0]["errors"]]
    head = ("functions", "learner", "weights", *(f"{n}" for n in shown))
    lines = []
    for row in rows:
        errors = {int(n): x for n, x in row["errors"].items()}
        shares = (f"{errors[n] / row['variance']:.2g}" for n in shown)
        lines.append((row["functions"], row["learner"], f"{row['weights']:,}", *shares))
    return machine.table(head, lines)


def _mutation(rows: Rows) -> str:
    head = ("mutation at the beginning", "evolves", "loss", "accuracy (%)")
    return machine.table(
        head,
        [
            (
                f"{row['sigma']:g}",
                "yes" if row["evolving"] else "no",
                f"{row['loss']:.3f}",
                f"{100 * row['accuracy']:.1f}",
            )
            for row in rows
        ],
    )


def _estimators(rows: Rows) -> str:
    head = ("optimizer", "steps", "seconds", "loss", "accuracy (%)")
    return machine.table(
        head,
        [
            (
                row["optimizer"],
                row["meta_steps"],
                f"{row['seconds']:.0f}",
                f"{row['loss']:.3f}",
                f"{100 * row['accuracy']:.1f}",
            )
            for row in rows
        ],
    )


def _with(value: float, half: float | None) -> str:
    written = f"{value:.3f}" if value < 10 else f"{value:.1f}"
    return written if half is None else f"{written} ± {half:.3f}"


_TABLES: dict[str, Callable[[Rows], str]] = {
    "sinusoids": _sinusoids,
    "optimizers": _optimizers,
    "clothes": _optimizers,
    "readers": _readers,
    "mutation": _mutation,
    "estimators": _estimators,
}
