"""The training loop: take a batch, advance, write the metrics, save; for any learner."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from mole_jax.core.console import interrupts
from mole_jax.core.console.progress import Progress
from mole_jax.core.devices import chips, distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.core.storage.writers import MetricWriter
from mole_jax.training import state as states
from mole_jax.training.learner import Learner
from mole_jax.training.programs import Programs
from mole_jax.training.source import Source
from mole_jax.training.state import State
from mole_jax.training.train_config import TrainConfig


def fit(
    learner: Learner, hyper: TrainConfig, source: Source, root: jax.Array, folder: Path, mesh: Mesh
) -> State:
    """Train a learner, from its last checkpoint in `folder` if there is one.

    Args:
        learner: what is trained.
        hyper: hyperparameters.
        source: of its batches.
        root: the key that all randomness is derived from.
        folder: for checkpoints and metrics.
        mesh: the devices.

    Returns:
        The final state.

    Raises:
        UserError: when the devices cannot share the batch, or have too little memory; and when the
            loss or its gradient is no longer a number.
    """
    hyper.check_mesh(mesh)
    learner.check_mesh(mesh)
    like = states.shapes(learner, hyper, mesh)
    programs = Programs(learner, hyper, source, mesh, root, like)

    with Checkpoints(folder / "checkpoints", hyper.keep_checkpoints) as checkpoints:
        # Refuse what cannot fit before allocating anything of its size.
        latest = checkpoints.latest_step() or 0
        stops = dispatches(latest, hyper.steps, hyper.steps_per_dispatch)
        flops = programs.prepare(stops[0] - latest) if stops else None
        here = distributed.put((learner, source.constants, root), mesh_lib.replicated(mesh))
        found = checkpoints.restore_latest(like)
        state = states.fresh(learner, hyper, root, like) if found is None else found[1]
        step = int(state.step)
        stops = dispatches(step, hyper.steps, hyper.steps_per_dispatch)
        if flops is None:  # the training is finished, or its last checkpoint was damaged
            flops = programs.prepare(stops[0] - step) if stops else 0.0
        with (
            source.feed(root, mesh, step, hyper.steps, 2 * hyper.steps_per_dispatch) as feed,
            MetricWriter(folder, resume_step=step or None) as writer,
            Progress(learner.name, total=hyper.steps, initial=step) as bar,
            # From here on a request to stop loses nothing.
            interrupts.held() as asked,
        ):
            for stop in stops:
                advance = programs.compiled(stop - step)
                began, waited = time.monotonic(), feed.waited
                drawn = feed.take(step, stop)
                state, parts = advance(state, *here, drawn)
                scalars = {name: float(value) for name, value in parts.items()}
                bad = step + int(scalars.pop("finite_steps"))
                if bad < stop:
                    where = _write_batch(source, here[1], drawn, root, bad, folder)
                    raise UserError(
                        f"training: the loss of {learner.name} is not finite at step {bad}, or "
                        f"its gradient; that step's batch is in {where}; lower {hyper.rate_key} "
                        "or training.gradient_clip, and move "
                        + (
                            f"{folder} elsewhere, or leave {learner.name} out: the other learners "
                            "stay"
                            if hyper.apart
                            else f"{folder.parent} elsewhere"
                        )
                    )
                seconds = time.monotonic() - began
                rate = (stop - step) / seconds
                fast = speed(rate, hyper.batch_size * learner.n_tokens, flops, mesh)
                if not feed.resident:
                    fast["input_wait"] = (feed.waited - waited) / seconds  # a share
                writer.write(stop, scalars | fast)
                shown = {n: v for n, v in fast.items() if n != "steps_per_second"}
                bar.update(stop - step, loss=scalars["loss"], **shown)
                every, ends = hyper.checkpoint_every, asked()
                if stop == hyper.steps or stop // every > step // every or ends:
                    writer.flush()
                    checkpoints.save(stop, state, scalars["loss"])
                step = stop
                if ends:
                    break
    return state


def speed(rate: float, tokens: int, flops_of_step: float, mesh: Mesh) -> dict[str, float]:
    """Return how fast a training is, for the log.

    Args:
        rate: steps per second.
        tokens: in a batch.
        flops_of_step: FLOPs of a step, summed over devices.
        mesh: the devices.

    Returns:
        steps_per_second, tokens_per_second, and `mfu`, those FLOPs as a share of the devices' peak;
        without `mfu` where no data sheet gives the peak, as for a CPU.
    """
    found = {"steps_per_second": rate, "tokens_per_second": rate * tokens}
    chip = chips.find(mesh.devices.flat[0].device_kind)
    if chip is not None:
        found["mfu"] = rate * flops_of_step / (mesh.size * chip.peak)
    return found


def _write_batch(
    source: Source, constants: Any, drawn: Any, root: jax.Array, step: int, folder: Path
) -> Path:
    """Write the batch of a step to disk, an array for each leaf: `target`, `prompt.start`, ..."""
    draw = jax.jit(source.draw)
    batch = distributed.gather(draw(constants, drawn, root, step))
    path = folder / f"batch_{step}.npz"
    if distributed.is_first():
        named, _ = jax.tree.flatten_with_path(batch)
        arrays = {jax.tree_util.keystr(at, simple=True, separator="."): x for at, x in named}
        files.write_npz(path, **{name: np.asarray(x) for name, x in arrays.items()})
    return path


def dispatches(step: int, total: int, size: int) -> list[int]:
    """Return the steps after `step` at which dispatches end: multiples of `size`, and `total`.

    Logged metrics are means over a dispatch, so fixed ends give a resumed run the same log.
    """
    ends = [*range(size, total, size), total]
    return [end for end in ends if end > step]
