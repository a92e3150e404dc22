"""Training meta-models on a zoo that is made once, in another workdir."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mole_jax import main as command
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.evaluation.harness.context import Predictor
from mole_jax.learners.diffusion import Diffusion


def make(config: Any, workdir: Path) -> None:
    """Run the zoo stage, unless it is done."""
    with stages.open_workdir(workdir):
        stages.run(workdir, command.STAGES, ["zoo"], config)


def train(config: Any, zoo: Path, workdir: Path) -> None:
    """Run the train stage on a zoo that stays where it is: the workdir links to it.

    Raises:
        UserError: where a stage of the workdir, a later one included, ran with another config, and
            where another process is at work in it.
    """
    if not (workdir / "zoo").exists():
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "zoo").symlink_to((zoo / "zoo").resolve())
        shutil.copy(zoo / "workdir.json", workdir)
    with stages.open_workdir(workdir):
        command.check(workdir, config)
        stages.run(workdir, command.STAGES, ["train"], config)


def diffusion(predictor: Predictor) -> Diffusion:
    """Return the learner of a predictor, a diffusion model or what was made of one.

    Raises:
        UserError: where it was trained end to end.
    """
    learner = predictor.trained.learner
    if not isinstance(learner, Diffusion):
        raise UserError(f"{learner.name} has no sampler: choose a workdir whose first learner has")
    return learner
