"""Results kept in files, one for each job: an interrupted evaluation repeats none of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mole_jax.core.console import interrupts
from mole_jax.core.devices import distributed
from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import (
    Found,
    Job,
    Measure,
    Results,
    jobs,
    with_needs,
)


def kept(folder: Path, job: Job, context: EvalContext, results: Results) -> Any:
    """Return a job's result from `folder`; compute and write it first if it is missing.

    Files are whole or absent, and a result depends only on config, zoo, learners and earlier
    results, so a resumed evaluation gives the numbers of an uninterrupted one. With several
    processes all compute, since devices may work together; all continue with the result of the
    first.
    """
    interrupts.check()
    path = Path(folder) / f"{job.name}.npz"
    if not distributed.from_first(lambda: _fits(path, job.measure.result)):
        found = job.measure.compute(job.seen_from(context), job.split, results)
        if distributed.is_first():
            write(path, found)
        distributed.barrier()
    return read(path, job.measure.result)


def read_all(folder: Path, context: EvalContext, measures: Sequence[Measure[Any]]) -> Results:
    """Return the kept results of measures and of what they need.

    Raises:
        UserError: if one is missing, or was written by another version.
    """
    results = Results(context)
    there = [m for m in with_needs(measures) if m.applies(context)]
    for job in jobs(context, there):
        path = Path(folder) / f"{job.name}.npz"
        if not _fits(path, job.measure.result):
            raise UserError(
                f"{path} is {'of another format' if path.exists() else 'missing'}: another version "
                "made this evaluation, or its evaluation.measures left this out; evaluate again in "
                "another workdir"
            )
        results.found[job] = read(path, job.measure.result)
    return results


def write(path: Path, found: Any) -> None:
    """Write a NamedTuple of arrays, leaving out the fields that are None."""
    files.write_npz(path, **{name: x for name, x in found._asdict().items() if x is not None})


def read(path: Path, result: type[Found]) -> Found:
    """Return the NamedTuple that `write` wrote.

    Raises:
        UserError: if the file is damaged.
    """
    return result(**_stored(path))


def _fits(path: Path, result: Any) -> bool:
    """Return whether the file exists and has the fields of `result`; other versions' may differ."""
    if not path.exists():
        return False
    stored = _stored(path).keys()
    return set(result._fields) - set(result._field_defaults) <= stored <= set(result._fields)


def _stored(path: Path) -> dict[str, np.ndarray]:
    try:
        return files.read_npz(path)
    except UserError as problem:
        raise UserError(
            f"{path} is damaged: move it elsewhere, and run the same command"
        ) from problem
