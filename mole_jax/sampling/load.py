"""The public interface: from a trained workdir and a support set to networks.

model = mole_jax.load("glyphs-8")  # comes with MOLE
model = mole_jax.load("runs/digits")
nets = model.predict(x_support, y_support, n=8, key=jax.random.key(0))  # as good as it can
nets = model.predict(x_support, y_support, target_loss=0.1, n=8, key=jax.random.key(0))
logits = nets.apply(x)
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from mole_jax.core import given
from mole_jax.core.devices import precision
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.program.config import nearest
from mole_jax.core.storage import files
from mole_jax.core.unknown import unknown
from mole_jax.learners import registry, stored
from mole_jax.learners.scales import Scales
from mole_jax.metamodel.process import sampler
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.sampling import model_file, shipped
from mole_jax.sampling.inputs import Inputs
from mole_jax.sampling.model import Model, on_all_devices
from mole_jax.sampling.networks import Networks
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Learner
from mole_jax.zoo.storage.reader import open_zoo

__all__ = ["IMPORTED_NETWORK", "Model", "Networks", "described", "description", "load"]

# Sections of a config that a trained model is built from.
SECTIONS = ("data", "population", "representation", "metamodel", "diffusion", "training")
# Where the network is described in a workdir without a zoo: one whose meta-model was imported.
IMPORTED_NETWORK = Path("train") / "network.json"
CHECKPOINTS = ("last", "best")
WEIGHTS = ("average", "last")


def load(
    workdir: Any,
    *,
    objective: str | None = None,
    checkpoint: str | int = "last",
    weights: str | None = None,
    **sampling: Any,
) -> Model:
    """Load a trained model from a workdir.

    Args:
        workdir: as given to `python -m mole_jax.main`; or a file of `export-model`, which has one
            objective and one checkpoint; or the name of a model that comes with MOLE, one of
            `shipped.NAMES`.
        objective: "diffusion", the default; "regression" for the deterministic baseline;
            "end_to_end" for the learner trained without the zoo; or an ancestor, such as "maml",
            that the config's `learners` trained.
        checkpoint: "last"; "best", the one with the lowest training loss of those that
            `training.checkpoint_every` kept; or the step of any other that is kept.
        weights: "average", the moving average of the steps' weights, or "last", those of the
            checkpoint's step. None is the average, or what a model was imported with.
        **sampling: other values for keys of `config.sampling`, such as steps=25. The other keys
            are as in the evaluate stage, or as in `sampler.DEFAULT` if it has not run.

    Raises:
        UserError: when there is no such workdir, when it holds no finished training or no such
            checkpoint, and for invalid options.
    """
    workdir = shipped.place(workdir)
    known = [field.name for field in dataclasses.fields(Plan)]
    if others := sorted(set(sampling) - set(known)):
        close = nearest(others[0], known)
        hint = f": did you mean {close}?" if close else ""
        raise UserError(f"load: unknown options {others}; there are {', '.join(known)}{hint}")
    if objective is not None and objective not in registry.NAMES:
        raise unknown("objective", objective, registry.NAMES)
    if isinstance(checkpoint, str) and checkpoint not in CHECKPOINTS:
        raise UserError(f"load: checkpoint={checkpoint!r} must be 'last', 'best' or a step")
    if not isinstance(checkpoint, str):
        checkpoint = given.whole("load: checkpoint", checkpoint, 0)
    if weights is not None and not (isinstance(weights, str) and weights in WEIGHTS):
        raise UserError(f"load: weights={weights!r} must be 'average' or 'last'")
    if workdir.suffix == model_file.SUFFIX and not workdir.is_dir():
        return _of_file(workdir, objective, checkpoint != "last" or weights is not None, sampling)
    objective = objective or registry.NAMES[0]
    config, network = described(workdir)
    with precision.single():
        trained = stored.load(workdir, config, network, objective, checkpoint)
    _check_samples(objective, _sampled(trained.learner), sampling)
    evaluated = stages.is_begun(workdir, "evaluate")
    values = stages.record(workdir, "evaluate")["config"]["sampling"] if evaluated else {}
    # An imported meta-model has its own sampling plan.
    own = dict(config.get("sampling", {}))
    kept = own.pop("weights", "average")
    values = {**dataclasses.asdict(sampler.DEFAULT), **own, **values, **sampling}
    return Model(
        config=config,
        description=description(workdir),
        objective=objective,
        params=on_all_devices(trained.theta if (weights or kept) == "average" else trained.last),
        fitted=trained.scales.fitted,
        plan=sampler.plan(values, config["diffusion"]["steps"], config["training"].get("drop")),
        inputs=_inputs(network, trained.scales),
        start_loss=trained.scales.start_loss,
    )


def _of_file(file: Path, objective: str | None, chosen: bool, sampling: dict[str, Any]) -> Model:
    """Load a model of `export-model`; `chosen`: whether a checkpoint or weights were asked for."""
    model = model_file.load(file, **sampling)
    if chosen:
        raise UserError(f"load: {file} holds one checkpoint: leave checkpoint and weights out")
    if objective not in (None, model.objective):
        raise UserError(f"load: {file} holds the {model.objective} model, not {objective!r}")
    _check_samples(model.objective, _sampled(model.learner), sampling)
    return model


def _sampled(learner: Learner) -> bool:
    # Learners that practise draw rollouts, but no noise.
    return learner.uses.samples and learner.writes_networks and not learner.uses.pool


def _check_samples(objective: str, samples: bool, sampling: dict[str, Any]) -> None:
    if sampling and not samples:
        raise UserError(
            f"load: the {objective} model writes in one pass: leave {', '.join(sampling)} out"
        )


def _inputs(network: Network, scales: Scales) -> Inputs:
    """Return what is known of the inputs of a model's networks."""
    scale, shift = (np.atleast_1d(x) for x in (scales.input_scale, scales.input_shift))
    mean, std = scales.pixel_mean, scales.pixel_std
    # Older workdirs have no statistics, but scaled training data to a mean of 0 and a spread of 1.
    # Without any scaling nothing is known: policies and imported models.
    if mean is None and not ((scale == 1).all() and (shift == 0).all()):
        mean, std = -shift / scale, 1 / scale
    known = (None if x is None else tuple(np.atleast_1d(x).tolist()) for x in (mean, std))
    return Inputs(network.input_shape, tuple(scale.tolist()), tuple(shift.tolist()), *known)


def described(workdir: Path) -> tuple[dict[str, Any], Network]:
    """Return the config that a workdir's learner was trained with, and its network.

    Raises:
        UserError: when there is no such workdir, or the train stage has not begun there.
    """
    _check(workdir)
    config = stages.record(workdir, "train")["config"]
    lost = [name for name in SECTIONS if not isinstance(config.get(name), dict)]
    if lost:
        raise UserError(
            f"{workdir / 'train' / 'stage.json'} is damaged: its config has no {lost[0]}: restore "
            "it from a copy"
        )
    return config, networks.from_json(description(workdir))


def description(workdir: Path) -> dict[str, Any]:
    """Return what `tasks.networks.from_json` builds a workdir's network from.

    It is JSON: a card of `interop.network_files` takes it, too.
    """
    imported = workdir / IMPORTED_NETWORK
    found = files.read_json(imported) if imported.exists() else None
    return dict(open_zoo(workdir / "zoo").schema.network if found is None else found)


def _check(workdir: Path) -> None:
    """Raise UserError unless this is a workdir with a train stage."""
    if not workdir.exists():
        raise UserError(
            f"there is no folder {workdir}: give one that was a --workdir{shipped.hint(workdir)}"
        )
    if stages.is_begun(workdir, "train"):
        return
    if not (workdir / stages.MARK).is_file():
        above = next((p for p in workdir.absolute().parents if (p / stages.MARK).is_file()), None)
        hint = f"; it lies in one, {above}" if above else ""
        raise UserError(f"{workdir} is not a workdir: it has no {stages.MARK}{hint}")
    raise UserError(
        f"{workdir}: the train stage has not begun: run the command with --stages=train, or all"
    )
