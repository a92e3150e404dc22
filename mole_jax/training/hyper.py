"""The hyperparameters of meta-training, and the optimizer that they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from mole_jax.core import compat
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError

SCHEDULES = ("warmup_then_cosine", "warmup_times_cosine")


@dataclasses.dataclass(frozen=True)
class Hyper:
    """Static choices of `config.training`."""

    steps: int
    batch_size: int
    accumulate: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    beta2: float
    gradient_clip: float
    ema_decay: float
    ema_warmup: bool  # the average starts short
    schedule: str  # of SCHEDULES
    steps_per_dispatch: int
    checkpoint_every: int  # steps
    keep_checkpoints: int

    @staticmethod
    def of(config: Mapping[str, Any]) -> Hyper:
        names = [field.name for field in dataclasses.fields(Hyper)]
        new = {name: compat.get(config, f"training.{name}") for name in ("ema_warmup", "schedule")}
        given = config["training"]
        hyper = Hyper(**{name: new[name] if name in new else given[name] for name in names})
        if hyper.schedule not in SCHEDULES:
            raise UserError(
                f"training.schedule={hyper.schedule!r} is unknown; there are {SCHEDULES}"
            )
        if hyper.steps < 1 or hyper.batch_size < 1 or not 0 <= hyper.warmup_steps <= hyper.steps:
            raise UserError(
                "training: steps and batch_size must be positive, warmup_steps in 0..steps; they "
                f"are {hyper.steps}, {hyper.batch_size}, {hyper.warmup_steps}"
            )
        if hyper.accumulate < 1 or hyper.batch_size % hyper.accumulate:
            raise UserError(
                f"training.accumulate={hyper.accumulate} must be 1 or more and divide "
                f"training.batch_size={hyper.batch_size}: it is into how many parts a batch is cut"
            )
        if hyper.learning_rate <= 0 or not 0 <= hyper.ema_decay < 1:
            raise UserError(
                "training: learning_rate must be above 0, ema_decay in [0, 1); they are "
                f"{hyper.learning_rate} and {hyper.ema_decay}"
            )
        if hyper.gradient_clip <= 0 or not 0 <= hyper.beta2 < 1:
            raise UserError(
                "training: gradient_clip must be above 0, beta2 in [0, 1); they are "
                f"{hyper.gradient_clip} and {hyper.beta2}"
            )
        if hyper.weight_decay < 0:
            raise UserError(f"training.weight_decay={hyper.weight_decay} must not be negative")
        return hyper

    def check_mesh(self, mesh: Mesh) -> None:
        """Raises UserError where the devices cannot share a batch evenly."""
        micro, n = self.batch_size // self.accumulate, mesh_lib.shares(mesh)
        if micro % n:
            raise UserError(
                f"training.batch_size={self.batch_size} in training.accumulate={self.accumulate} "
                f"parts leaves {micro} pairs for {n} devices (data x fsdp) to share evenly: change "
                "one of the two, or --mesh"
            )


def learning_rate(hyper: Hyper) -> optax.Schedule:
    """The rate of each step: after the warm-up a cosine, or one throughout, times the warm-up.

    The second is G.pt's (Peebles et al. 2022).
    """
    if hyper.schedule == "warmup_then_cosine":
        return optax.warmup_cosine_decay_schedule(
            0.0, hyper.learning_rate, max(hyper.warmup_steps, 1), hyper.steps + 1
        )
    cosine = optax.cosine_decay_schedule(hyper.learning_rate, hyper.steps)
    warmup = optax.linear_schedule(0.0, 1.0, hyper.warmup_steps)
    return lambda step: cosine(step) * (warmup(step) if hyper.warmup_steps else 1.0)


def optimizer(hyper: Hyper) -> optax.GradientTransformation:
    """AdamW with a linear warm-up and a cosine to zero; weight decay on matrices only."""
    return optax.chain(
        optax.clip_by_global_norm(hyper.gradient_clip),
        optax.adamw(
            learning_rate(hyper),
            b2=hyper.beta2,
            weight_decay=hyper.weight_decay,
            mask=lambda params: jax.tree.map_with_path(
                lambda path, _: bool(path) and getattr(path[-1], "key", "") == "kernel", params
            ),
        ),
    )
