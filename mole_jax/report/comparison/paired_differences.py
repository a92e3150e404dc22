"""The difference between two runs, task by task, if both were evaluated on the same tasks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import read_npz
from mole_jax.evaluation.harness import statistics
from mole_jax.report.comparison.recorded_run import Run, splits_of
from mole_jax.report.comparison.same_tasks import conditions, disagreement

METHODS = ("generated", "adam")
AS_RECORDED = 1e-4  # scores have 32 bits, their recorded mean 64


class ScoreDifference(NamedTuple):
    """The mean of the first run's score minus the second's, with its 95 % interval over tasks."""

    mean: float
    ci95: tuple[float, float]


class Paired(NamedTuple):
    """Two runs on the same tasks of a split."""

    first: str
    second: str
    split: str
    n_tasks: int
    generated: ScoreDifference
    adam: ScoreDifference | None  # None if not recorded
    same_starts: bool | None  # None if unknown


class Unpaired(NamedTuple):
    """Two runs that cannot be paired on a split, or on none (""), and why."""

    first: str
    second: str
    split: str
    reason: str


def compare(runs: Sequence[Run]) -> list[Paired | Unpaired]:
    """Compare each two runs on every split that both have."""
    known = {run.name: conditions(run) for run in runs}
    found: list[Paired | Unpaired] = []
    for first, second in itertools.combinations(runs, 2):
        both = [s for s in splits_of(runs) if s in first.splits and s in second.splits]
        for split in both:
            reason = disagreement(known[first.name][split], known[second.name][split])
            found.append(_pair(first, second, split, reason))
        if not both:
            found.append(Unpaired(first.name, second.name, "", "they have no split in common"))
    return found


def _pair(first: Run, second: Run, split: str, reason: str) -> Paired | Unpaired:
    if not reason:
        try:
            ours, theirs = (_scores(run, split) for run in (first, second))
            same_starts = _same_starts(first, second, split)
        except UserError as problem:
            reason = str(problem)
        else:
            gains = {
                method: ScoreDifference(*statistics.paired_gain(ours[method], theirs[method]))
                for method in METHODS
                if method in ours and method in theirs
            }
            return Paired(
                first.name,
                second.name,
                split,
                len(ours["generated"]),
                gains["generated"],
                gains.get("adam"),
                same_starts,
            )
    return Unpaired(first.name, second.name, split, reason)


def _scores(run: Run, split: str) -> dict[str, np.ndarray]:
    """Return the test scores [T, N] of generated networks and of Adam's.

    Raises:
        UserError: if they are missing, or disagree with evaluation.json.
    """
    assert run.workdir is not None, "without a workdir there are no conditions to agree"
    result = run.splits[split]
    stored = _read(run.workdir, f"quality.{split}", ("names", "score"))
    if stored is None:
        raise UserError(f"{run.name} has kept no scores by task")
    names, score = stored["names"].tolist(), stored["score"]
    found = {method: score[names.index(method)] for method in METHODS if method in names}
    n_tasks, n_networks = int(result["n_tasks"]), int(result["n_networks"])
    for method, values in found.items():
        recorded = result.get(method, {}).get("mean", np.nan)
        fits = values.shape == (n_tasks, n_networks // n_tasks)
        if not (fits and abs(float(values.mean()) - recorded) < AS_RECORDED):
            raise UserError(f"the scores kept by {run.name} disagree with its evaluation.json")
    if "generated" not in found:
        raise UserError(f"{run.name} has kept no scores of generated networks")
    return found


def _same_starts(first: Run, second: Run, split: str) -> bool | None:
    """Return whether Adam began with the same test losses, and so with the same networks.

    None if that is not on record. Raises UserError for a damaged file.
    """
    begun = []
    for run in (first, second):
        assert run.workdir is not None
        stored = _read(run.workdir, f"adam.{split}", ("steps", "test_loss"))
        if stored is None or stored["steps"].shape != stored["test_loss"].shape[-1:]:
            return None
        if not stored["steps"].size or stored["steps"][0] != 0:
            return None
        begun.append(stored["test_loss"][..., 0])  # [T, N]
    ours, theirs = begun
    return ours.shape == theirs.shape and bool(np.allclose(ours, theirs, 1e-3, equal_nan=True))


def _read(workdir: Path, name: str, needed: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """Return a result that the evaluate stage has kept, or None if there is none to use."""
    path = workdir / "evaluate" / "results" / f"{name}.npz"
    if not path.is_file():
        return None
    try:
        stored = read_npz(path)
    except UserError as problem:
        raise UserError(f"{path} is damaged: run the evaluate stage again") from problem
    return stored if all(key in stored for key in needed) else None
