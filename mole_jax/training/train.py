"""The train stage: the meta-model, and its deterministic twin as a baseline, from the zoo."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mole_jax.core import compat, rng
from mole_jax.core.console import interrupts
from mole_jax.core.console.progress import Progress
from mole_jax.core.devices import chips, distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage import checkpoint_files, files
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.core.storage.checkpoint_files import DamagedError, GoneError
from mole_jax.core.storage.writers import MetricWriter
from mole_jax.metamodel import meta_model as models
from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks import pixels
from mole_jax.tasks.family import DeviceData
from mole_jax.tasks.networks import Network
from mole_jax.training import data as data_lib
from mole_jax.training import feeding, live
from mole_jax.training import state as states
from mole_jax.training.data import TrainingRuns
from mole_jax.training.feeding import Feed
from mole_jax.training.live import LiveFeed, LiveZoo
from mole_jax.training.pairs import Draw, Pairs, ZooArrays
from mole_jax.training.programs import Programs
from mole_jax.training.state import Hyper, State
from mole_jax.zoo import prompt_metric
from mole_jax.zoo.storage.reader import open_zoo

NO_CHECKPOINT = "{}: the training has no checkpoint yet: wait for one, or run its command again"


def train(
    config: Mapping[str, Any], workdir: Path, mesh_shape: Mapping[str, int] | None = None
) -> None:
    """Train on WORKDIR/zoo; leaves WORKDIR/train/{diffusion,regression}/checkpoints.

    `mesh_shape` says how the devices are arranged (see `mesh.make_mesh`). It changes no number
    beyond rounding, so a training may go on with another one.

    `regression` is the same transformer without noise: the baseline that tells whether diffusion
    pays. It takes `training.regression_steps`, and is left out where they are 0.

    With `zoo.live` new runs replace those of the zoo as the training goes on (see `live.py`).
    """
    workdir = Path(workdir)
    zoo = open_zoo(workdir / "zoo")
    family = data_lib.checked_family(config, zoo)
    mesh = mesh_lib.make_mesh(mesh_shape)
    if config["zoo"]["live"]:
        reading, why = "host", "a live zoo begins with them"
    else:
        reading, why = data_lib.choose_reading(config, zoo)
    metric = prompt_metric.of(config, zoo.schema)
    scaling = compat.get(config, "representation.normaliser")
    runs = data_lib.read(zoo, family, reading, scaling, metric)
    normaliser, arrays = runs.normaliser, runs.arrays
    renewed = live.make(config, family, runs, mesh) if config["zoo"]["live"] else None
    if distributed.is_first():
        print(f"train: {data_lib.describe(runs, why)}", flush=True)
        start_loss = float(np.median(arrays.metric[:, 0]))
        seen = pixels.of_training(family)
        write_scales(workdir, normaliser, (family.scale, family.shift), start_loss, seen)
    if renewed is not None:
        print(f"train: {renewed.describe()}", flush=True)
    for objective in objectives(config):
        fit(
            config,
            models.build(config, family.network, objective),
            normaliser,
            arrays,
            family.device_data,
            workdir / "train" / objective,
            mesh,
            runs,
            renewed,
        )


def check_mesh(model: MetaModel, hyper: Hyper, mesh: Mesh) -> None:
    """Raises UserError where a mesh cannot divide the batch, or the blocks, evenly."""
    hyper.check_mesh(mesh)
    model.module.shape.check_tensor(mesh.shape["tensor"])


def objectives(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the train stage trains, in order."""
    return tuple(name for name in models.OBJECTIVES if hyper_of(config, name).steps)


def hyper_of(config: Mapping[str, Any], objective: str) -> Hyper:
    """The hyperparameters of an objective: the same but for the number of steps."""
    hyper = Hyper.of(config)
    if objective == "diffusion":
        return hyper
    steps = config["training"]["regression_steps"]
    return dataclasses.replace(
        hyper, steps=steps, warmup_steps=min(hyper.warmup_steps, max(steps // 10, 1))
    )


def fit(
    config: Mapping[str, Any],
    model: MetaModel,
    normaliser: Normaliser,
    arrays: ZooArrays,
    device_data: DeviceData,
    folder: Path,
    mesh: Mesh,
    runs: TrainingRuns | None = None,
    renewed: LiveZoo | None = None,
) -> State:
    """Train one meta-model, from its last checkpoint in `folder` where there is one.

    `runs` tells where parameters come from that `arrays` have not got on device. A live zoo,
    `renewed`, stands in place of both.

    Returns:
        The final state.

    Raises:
        UserError: when the devices cannot share the batch, or have too little memory; and when the
            loss is no longer a number.
    """
    hyper, rules = hyper_of(config, model.objective), Draw.of(config)
    check_mesh(model, hyper, mesh)
    root = rng.named(rng.key(config["seed"]), f"train {model.objective}")
    settings = config["training"]
    like = states.shapes(model, hyper, rules, mesh)

    def zoo_of(n_steps: int) -> ZooArrays:
        if renewed is not None:
            return renewed.like(mesh)
        return feeding.like(arrays, runs, hyper.batch_size, mesh, n_steps)

    programs = Programs(model, hyper, rules, mesh, root, like, normaliser, zoo_of, device_data)

    with Checkpoints(folder / "checkpoints", settings["keep_checkpoints"]) as checkpoints:
        # What cannot fit is refused before anything of its size exists.
        latest = checkpoints.latest_step() or 0
        stops = dispatches(latest, hyper.steps, settings["steps_per_dispatch"])
        each = programs.prepare(stops[0] - latest) if stops else None
        normaliser, arrays, device_data = distributed.put(
            (normaliser, arrays, device_data), mesh_lib.replicated(mesh)
        )
        state = start_state(model, hyper, rules, root, like, checkpoints)
        step = int(state.step)
        stops = dispatches(step, hyper.steps, settings["steps_per_dispatch"])
        if each is None:  # the training is finished, or its last checkpoint was damaged
            each = programs.prepare(stops[0] - step) if stops else 0.0
        key_of = functools.partial(states.pairs_key, root)
        ahead = 2 * settings["steps_per_dispatch"]
        steps = (rules, key_of, hyper.batch_size, mesh, step, hyper.steps, ahead)
        with (
            LiveFeed(renewed, mesh) if renewed else Feed(arrays, runs, *steps) as feed,
            MetricWriter(folder, resume_step=step or None) as writer,
            Progress(model.objective, total=hyper.steps, initial=step) as bar,
            # Whoever asks to stop from here on loses nothing.
            interrupts.held() as asked,
        ):
            for stop in stops:
                advance = programs.compiled(stop - step)
                began, waited = time.monotonic(), feed.waited
                drawn = feed.take(step, stop)
                state, parts = advance(state, normaliser, drawn, device_data)
                scalars = {name: float(value) for name, value in parts.items()}
                bad = step + int(scalars.pop("finite_steps"))
                if bad < stop:
                    where = folder / f"pairs_{bad}.npz"
                    pairs = jax.jit(states.make_draw(model, hyper, rules, root))
                    found = distributed.gather(pairs(bad, normaliser, drawn, device_data))
                    if distributed.is_first():
                        _write_pairs(where, found)
                    raise UserError(
                        f"training: the loss of {model.objective} is not finite at step {bad}; "
                        f"that step's pairs are in {where}; lower training.learning_rate or "
                        f"training.gradient_clip, and move {folder.parent} elsewhere"
                    )
                seconds = time.monotonic() - began
                rate = (stop - step) / seconds
                fast = speed(rate, hyper.batch_size * model.n_tokens, each, mesh)
                if not feed.resident:
                    fast["input_wait"] = (feed.waited - waited) / seconds  # a share
                writer.write(stop, scalars | fast)
                shown = {n: v for n, v in fast.items() if n != "steps_per_second"}
                bar.update(stop - step, loss=scalars["loss"], **shown)
                every, ends = settings["checkpoint_every"], asked()
                if stop == hyper.steps or stop // every > step // every or ends:
                    writer.flush()
                    checkpoints.save(stop, state, scalars["loss"])
                step = stop
                if ends:
                    break
    return state


def speed(rate: float, tokens: int, flops_of_step: float, mesh: Mesh) -> dict[str, float]:
    """How fast a training is, for the log.

    Args:
        rate: steps per second.
        tokens: in a batch.
        flops_of_step: that a step needs, of all devices together.
        mesh: the devices.

    Returns:
        steps_per_second, tokens_per_second, and `mfu`, the share of the devices' peak that those
        operations make up; there is none where no data sheet tells the peak, as for a CPU.
    """
    found = {"steps_per_second": rate, "tokens_per_second": rate * tokens}
    chip = chips.find(mesh.devices.flat[0].device_kind)
    if chip is not None:
        found["mfu"] = rate * flops_of_step / (mesh.size * chip.peak)
    return found


def _write_pairs(path: Path, pairs: Pairs) -> None:
    """Leave a batch on disk, one array for each leaf: `target`, `prompt.start`, ..."""
    named, _ = jax.tree.flatten_with_path(pairs)
    files.write_npz(
        path,
        **{jax.tree_util.keystr(at, simple=True, separator="."): np.asarray(x) for at, x in named},
    )


def dispatches(step: int, total: int, size: int) -> list[int]:
    """The steps at which dispatches end: multiples of `size`, whatever step one resumes from.

    The metrics logged are means over a dispatch, so fixed ends give a resumed run the same log.
    """
    ends = [*range(size, total, size), total]
    return [end for end in ends if end > step]


def start_state(
    model: MetaModel,
    hyper: Hyper,
    rules: Draw,
    root: jax.Array,
    like: State,
    checkpoints: Checkpoints,
) -> State:
    """The state of the last checkpoint, or a fresh one, sharded as `like`: see `states.shapes`."""
    found = checkpoints.restore_latest(like)
    return fresh_state(model, hyper, rules, root, like) if found is None else found[1]


def fresh_state(model: MetaModel, hyper: Hyper, rules: Draw, root: jax.Array, like: State) -> State:
    """The state before step 0. Every device makes its own part: the whole need not fit anywhere."""
    init = jax.jit(
        lambda key: states.init(model, hyper, rules, key),
        out_shardings=jax.tree.map(lambda x: x.sharding, like),
    )
    return init(rng.named(root, "init"))


def write_scales(
    workdir: Path,
    normaliser: Normaliser,
    inputs: tuple[float | np.ndarray, float | np.ndarray],
    start_loss: float,
    seen: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Leave in WORKDIR/train how parameters and inputs were scaled, and the metric of a start.

    `inputs` are scale and shift, one for all or [F]: inputs = pixels * scale + shift. `seen` is the
    mean and the standard deviation of each pixel, [F], over what is trained on, where it is known.
    """
    known = {} if seen is None else {"pixel_mean": seen[0], "pixel_std": seen[1]}
    files.write_npz(
        Path(workdir) / "train" / "model.npz",
        **{f"normaliser_{name}": np.asarray(x) for name, x in normaliser._asdict().items()},
        input_scale=np.asarray(inputs[0], np.float32),
        input_shift=np.asarray(inputs[1], np.float32),
        start_loss=np.float32(start_loss),
        **{name: np.asarray(x, np.float32) for name, x in known.items()},
    )


class Trained(NamedTuple):
    """A finished training, ready for use."""

    model: MetaModel
    params: Any  # the moving average
    normaliser: Normaliser
    input_scale: float | np.ndarray  # inputs = pixels * input_scale + input_shift; [F] or one
    input_shift: float | np.ndarray
    start_loss: float  # median of the zoo's starts, in the metric that prompts speak of
    last: Any  # the parameters themselves, after the last step
    pixel_mean: np.ndarray | None  # [F] over what was trained on; workdirs of before have none
    pixel_std: np.ndarray | None


def load(
    workdir: Path,
    config: Mapping[str, Any],
    network: Network,
    objective: str,
    checkpoint: str | int = "last",
) -> Trained:
    """Read what the train stage left in WORKDIR/train.

    Args:
        workdir: the run.
        config: of the run.
        network: the target network.
        objective: "diffusion" or "regression".
        checkpoint: "last", of a finished training; "best", the one with the lowest training loss;
            or the step of another one that is kept.

    Raises:
        UserError: when that training or checkpoint is not there or not finished.
    """
    folder = Path(workdir) / "train" / objective
    model = models.build(config, network, objective)
    hyper, rules = hyper_of(config, objective), Draw.of(config)
    if not folder.is_dir():
        if not stages.is_done(workdir, "train"):
            raise UserError(NO_CHECKPOINT.format(folder))
        raise UserError(f"{folder} is missing: no {objective} model was trained in {workdir}")
    like = states.shapes(model, hyper, rules, mesh_lib.make_mesh())
    state = _stored_state(folder / "checkpoints", checkpoint, like, hyper.steps)
    with np.load(Path(workdir) / "train" / "model.npz") as arrays:
        normaliser = Normaliser(
            *(jnp.asarray(arrays[f"normaliser_{name}"]) for name in Normaliser._fields)
        )
        names = ("input_scale", "input_shift")
        scale, shift = (x if x.ndim else float(x) for x in (arrays[name] for name in names))
        start_loss = float(arrays["start_loss"])
        mean, std = (arrays.get(name) for name in ("pixel_mean", "pixel_std"))
    return Trained(model, state.ema, normaliser, scale, shift, start_loss, state.params, mean, std)


def _stored_state(folder: Path, checkpoint: str | int, like: State, steps: int) -> State:
    """The state of a checkpoint, read without a change to any file; see `load` for its names.

    A training may replace checkpoints meanwhile: then the choice is made once more.
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
