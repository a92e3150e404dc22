"""Trained learners, read from a workdir without changing any file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage import checkpoint_files
from mole_jax.core.storage.checkpoint_files import DamagedError, GoneError
from mole_jax.learners import registry, scales
from mole_jax.learners.scales import Scales
from mole_jax.metamodel.process.sampler import DEFAULT, Plan
from mole_jax.tasks.networks import Network
from mole_jax.training import state as states
from mole_jax.training.learner import Learner
from mole_jax.training.state import State

NO_CHECKPOINT = "{}: the training has no checkpoint yet: wait for one, or run its command again"


class Trained(NamedTuple):
    """A finished training, ready for use."""

    learner: Learner
    theta: Any  # the moving average
    last: Any  # the parameters themselves, after the last step
    scales: Scales


def load(
    workdir: Path,
    config: Mapping[str, Any],
    network: Network,
    name: str,
    checkpoint: str | int = "last",
    plan: Plan = DEFAULT,
) -> Trained:
    """Read a trained learner from WORKDIR/train.

    Args:
        workdir: the run.
        config: of the run.
        network: the target network.
        name: of the learner.
        checkpoint: "last", of a finished training; "best", the one with the lowest training loss;
            or the step of any other stored one.
        plan: how the learner samples.

    Raises:
        UserError: when that training or checkpoint is missing or not finished.
    """
    folder = Path(workdir) / "train" / name
    if not folder.is_dir():
        if name not in (asked := registry.of(config)):
            raise UserError(
                f"no {name} model was trained in {workdir}: its config asks for none; there are "
                f"{list(asked)}"
            )
        if not stages.is_done(workdir, "train"):
            raise UserError(NO_CHECKPOINT.format(folder))
        there = sorted(p.name for p in folder.parent.iterdir() if p.is_dir())
        raise UserError(
            f"{folder} is missing: no {name} model was trained in {workdir}; there are {there}"
        )
    found = scales.read(workdir)
    learner = registry.build(config, network, name, found.fitted, plan)
    hyper = registry.train_config(config, name)
    like = states.shapes(learner, hyper, mesh_lib.make_mesh())
    state = _stored_state(folder / "checkpoints", checkpoint, like, hyper.steps)
    return Trained(learner, state.ema, state.params, found)


def _stored_state(folder: Path, checkpoint: str | int, like: State, steps: int) -> State:
    """Return the state of a checkpoint without changing any file; see `load` for names.

    If a running training removes the checkpoint meanwhile, choose again.
    """
    while True:
        kept = checkpoint_files.steps(folder)
        step = _chosen(folder, kept, checkpoint, steps)
        try:
            return checkpoint_files.read(folder, step, like)
        except GoneError:
            continue
        except DamagedError as problem:
            others = [other for other in kept if other != step]
            remedy = f"load checkpoint={others[-1]}, or " if others else ""
            raise UserError(
                f"checkpoint {step} in {folder} is damaged: {problem}; {remedy}restore it from a "
                "copy, or train in another workdir"
            ) from problem


def _chosen(folder: Path, kept: list[int], checkpoint: str | int, steps: int) -> int:
    if checkpoint != "last":
        step = checkpoint_files.best_step(folder) if checkpoint == "best" else checkpoint
        if step not in kept:
            raise UserError(
                f"{folder}: there is no checkpoint {checkpoint!r}; there are 'last', 'best' and "
                f"{', '.join(map(str, kept)) or 'no steps'}"
            )
        return int(step)
    if not kept:
        raise UserError(NO_CHECKPOINT.format(folder))
    if kept[-1] != steps:
        raise UserError(
            f"{folder}: the training has {kept[-1]} of {steps} steps: wait for its end, or run its "
            f"command again where it was interrupted, or load checkpoint={kept[-1]}"
        )
    return kept[-1]
