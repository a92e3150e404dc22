"""The study's rows as tables: of one run as it goes, and of all seeds for the page.

    python -m benchmarks.representations.tables

prints those of docs/representations.md.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.representations.cells import MEDIA, PARAMETRISATIONS, PARAMETRISED
from mole_jax.core.errors import UserError
from mole_jax.core.program.command import explained, leave

Row = Mapping[str, Any]
_PERCENT = 100.0


def main() -> None:
    """Print what there is."""
    print(pages(found()))


def found() -> list[Row]:
    """Return the rows of all trainings that are done. Raise UserError where there is none."""
    rows = list(machine.known("representations", "found").values())
    if not rows:
        raise UserError(
            f"{machine.path_of('representations')} has no trainings: run "
            "python -m benchmarks.representations mlp --folder=FOLDER"
        )
    return rows


def of(rows: Sequence[Row]) -> str:
    """Return scores (%) by split, and what they cost, a row for each training."""
    splits = list(rows[0]["splits"])
    head = (
        *("medium", "probes", "start", "parametrisation", "L x C", "million", "steps"),
        *("decoded %", *(f"{split} %" for split in splits)),
        *("R2", "rho", "Z_U", "diversity", "ms"),
    )
    return machine.table(head, [_row(row, splits) for row in rows])


def pages(rows: Sequence[Row]) -> str:
    """Return the tables of docs/representations.md, a cell for the mean of all seeds."""
    found = []
    for experiment in dict.fromkeys(row["experiment"] for row in rows):
        own = [row for row in rows if row["experiment"] == experiment]
        seeds = sorted({row["seed"] for row in own})
        of_plain = [row for row in own if plain(row)]
        found += [
            f"### {experiment}, seeds {', '.join(map(str, seeds))}\n",
            media(of_plain),
            parametrisations(own),
            starts(own),
        ]
    return "\n\n".join(x for x in found if x)


def table(question: str, experiment: str) -> str:
    """Return one of an experiment's tables: "media", "parametrisations" or "starts"."""
    own = [row for row in found() if row["experiment"] == experiment]
    return {
        "media": lambda: media([row for row in own if plain(row)]),
        "parametrisations": lambda: parametrisations(own),
        "starts": lambda: starts(own),
    }[question]()


def others(experiments: Sequence[str], names: Sequence[str] = ("neuron", "aligned")) -> str:
    """Return a table with a row for each experiment: scores on S1 of some media, with probes."""
    rows = []
    for experiment in experiments:
        own = [row for row in found() if row["experiment"] == experiment and plain(row)]
        of = [[row for row in own if row["medium"] == name and row["follows"]] for name in names]
        scores = [_mean(these, "splits", "S1", "mean", times=_PERCENT) for these in of]
        rows.append([experiment, *scores, _mean(own, "splits", "S1", "adam", times=_PERCENT)])
    return _markdown(["S1, %", *(MEDIA[name].label for name in names), "Adam or PPO"], rows)


def plain(row: Row) -> bool:
    """Return whether only the medium and the probes were changed."""
    return row["parametrisation"] == "edm" and not row["shared_start"]


def media(rows: Sequence[Row]) -> str:
    """Return a table with a row for each medium: with gradients on probes / without, if known."""
    splits = [split for split in rows[0]["splits"] if split != "S0"]
    main = "S1" if "S1" in splits else "S0"
    head = ["medium", "L x C", "decoded", *splits, "R²", "rho", "Z_U", "diversity", "steps", "ms"]
    switches = sorted({bool(row["follows"]) for row in rows}, reverse=True)
    table = []
    for name, medium in MEDIA.items():
        own = [row for row in rows if row["medium"] == name]
        if not own:
            continue
        both = [[row for row in own if row["follows"] == follows] for follows in switches]
        table.append(
            [
                medium.label,
                "{} x {}".format(*own[0]["tokens"]),
                _mean(own, "reconstruction", "decoded", times=_PERCENT),
                *(_pair(both, "splits", split, "mean", times=_PERCENT) for split in splits),
                *(_pair(both, "splits", main, key) for key in ("r2", "rho", "z_u", "diversity")),
                _pair(both, "steps"),
                _pair(both, "cost", "seconds_per_task", times=1e3),
            ]
        )
    adam = [_mean(rows, "splits", split, "adam", times=_PERCENT) for split in splits]
    table.append(["Adam or PPO", "", "", *adam, *[""] * (len(head) - 3 - len(splits))])
    return _markdown(head, table)


def parametrisations(rows: Sequence[Row]) -> str:
    """Return a table of diffusion's parametrisations, by medium, with probes; "" of one alone."""
    splits = [split for split in rows[0]["splits"] if split != "S0"]
    own = [row for row in rows if row["follows"] and not row["shared_start"]]
    names = [p for p in PARAMETRISATIONS if any(row["parametrisation"] == p for row in own)]
    tried = {row["medium"] for row in own if row["parametrisation"] != "edm"}
    found = []
    for name in names:
        cells = []
        for medium in (m for m in PARAMETRISED if m in tried):
            these = [r for r in own if r["medium"] == medium and r["parametrisation"] == name]
            cells += [_mean(these, "splits", split, "mean", times=_PERCENT) for split in splits]
        found.append([name, *cells])
    head = [f"{MEDIA[m].label}, {split}" for m in PARAMETRISED if m in tried for split in splits]
    return _markdown(["parametrisation", *head], found) if tried else ""


def starts(rows: Sequence[Row]) -> str:
    """Return a table of zoos with one start for all runs, and with a start for each."""
    splits = [split for split in rows[0]["splits"] if split != "S0"]
    own = [row for row in rows if row["parametrisation"] == "edm" and row["follows"]]
    found = []
    for name in dict.fromkeys(row["medium"] for row in own if row["shared_start"]):
        both = [
            [row for row in own if row["medium"] == name and row["shared_start"] == shared]
            for shared in (True, False)
        ]
        cells = [_pair(both, "splits", split, "mean", times=_PERCENT) for split in splits]
        found.append([MEDIA[name].label, *cells])
    return _markdown(["one start / one for each run", *splits], found) if found else ""


def by_size(rows: Iterable[Row], medium: str) -> dict[int, float]:
    """Return the mean score on S1 of a medium with probes, by the networks' parameters."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if row["medium"] == medium and row["follows"]:
            found.setdefault(row["network_size"], []).append(row["splits"]["S1"]["mean"])
    return {size: float(np.mean(scores)) for size, scores in found.items()}


def _row(row: Row, splits: Sequence[str]) -> tuple[Any, ...]:
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


def _mean(rows: Sequence[Row], *path: str, times: float = 1.0) -> str:
    """Return the mean of what stands at `path` in the rows, as text; - where it is in none."""
    found: list[Any] = [functools.reduce(lambda x, key: x[key], path, row) for row in rows]
    known = [float(x) for x in found if x is not None]
    if not known:
        return "-"
    mean = times * float(np.mean(known))
    if times == _PERCENT:
        return f"{mean:.1f}"
    return f"{mean:,.0f}" if mean >= 100 else f"{mean:.2g}"


def _pair(both: Sequence[Sequence[Row]], *path: str, times: float = 1.0) -> str:
    return " / ".join(_mean(rows, *path, times=times) for rows in both)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    leave(explained(main))
