"""Adding members to a finished zoo; the runs that are there stay as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage.paths import user_path
from mole_jax.core.storage.provenance import environment
from mole_jax.zoo.making.fill import fill
from mole_jax.zoo.rebuild import rebuild
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.store import ZooWriter


def grow(path: str | Path, members: int) -> None:
    """Train more runs for the zoo at `path`, until every data subset has `members` of them.

    The zoo's own config says how. Its `population.members` stays what it was: it is part of what
    the first runs draw their numbers from (`run_numbers`), so any run, old or new, can be trained
    again from the zoo. Members that are added to training subsets are trained on. The same call
    resumes an interrupted growth.

    Raises:
        UserError: when the zoo is not finished, has more members already, its data source has
            changed, a meta-model has been trained on it, or no run to train on can be used.
    """
    path = user_path(path)
    with _held(path):
        zoo = open_zoo(path)
        if zoo.schema.imported:
            raise UserError(
                f"the zoo at {path} was imported: it does not say how to train more of its runs"
            )
        config = ConfigDict(zoo.schema.config).lock()
        base, most = config["population"]["members"], int(_members(zoo).max(initial=0))
        if _members(zoo).min(initial=base) < base:
            raise UserError(
                f"the zoo at {path} is not finished: first rerun the command that began it"
            )
        if members < most:
            raise UserError(
                f"--members={members}: the zoo at {path} has {most} runs of a data subset already; "
                "give a larger number"
            )
        family = rebuild(config, zoo)
        writer = ZooWriter.open(path)
        growths = zoo.schema.provenance.get("growths", [])
        if _members(zoo).min(initial=base) < members and members not in [
            growth["members"] for growth in growths
        ]:
            growth = {"members": members, "first_run": zoo.n_runs, "provenance": environment()}
            writer.note("growths", [*growths, growth])
        fill(config, family, writer, members)


def _members(zoo: Zoo) -> np.ndarray:
    """Return how many runs each data subset has: [T]."""
    return np.bincount(zoo.runs["subset"], minlength=len(zoo.schema.tasks))


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Keep other commands out of the workdir that a zoo may lie in, or raise UserError."""
    workdir = path.resolve().parent
    if not (workdir / stages.MARK).exists():
        yield
        return
    with stages.open_workdir(workdir):
        if stages.is_begun(workdir, "train"):
            raise UserError(
                f"{workdir / 'train'} was trained on this zoo as it is: grow a copy of the zoo, "
                "or move it and what follows it elsewhere"
            )
        yield
