"""The section `training` of a config: how a meta-model is trained, and on which pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh

from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.program.sections import NOT_A_KEY, read

SCHEDULES = ("warmup_then_cosine", "warmup_times_cosine")


@dataclasses.dataclass(frozen=True)
class DropConfig:
    """Share of the pairs in which a condition is left out."""

    support: float = 0.1  # the support set
    target_metric: float = 0.1  # the target metric
    start: float = 0.1  # the start and its metric


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How the meta-model is trained, and on which pairs: the section `training`."""

    steps: int = 1500  # steps of the diffusion model
    regression_steps: int = 300  # steps of the regression ablation; 0 leaves it out
    # Steps of the same transformer without a zoo, on the loss of the networks that it writes; 0
    # leaves it out.
    end_to_end_steps: int = 0
    end_to_end_rate: float = 1e-3  # learning rate of that training
    queries: int = 50  # query examples of an episode
    fresh_classes: bool = True  # episodes mix classes of all training tasks, not only of one each
    batch_size: int = 64  # pairs, or episodes, in a step
    accumulate: int = 1  # parts that a batch is cut into, one after another: less memory
    learning_rate: float = 2e-3  # largest learning rate of AdamW
    warmup_steps: int = 100  # steps in which the learning rate rises from 0
    weight_decay: float = 0.01  # weight decay of AdamW
    beta2: float = 0.99  # decay of AdamW's second moments
    gradient_clip: float = 1.0  # largest norm of a gradient
    ema_decay: float = 0.995  # decay of the moving average of parameters, which predictions use
    # The learning rate's schedule: warmup_then_cosine, or warmup_times_cosine, whose cosine begins
    # at the first step.
    schedule: str = "warmup_then_cosine"
    ema_warmup: bool = True  # a shorter average at first
    function_weight: float = 10.0  # weight of the loss on outputs, next to that on weights
    function_images: int = 64  # inputs on which outputs are compared
    mix_images: bool = True  # compare on mixtures of images, which no network has memorised
    time_power: float = 0.33  # below 1: more of the training at high noise
    # The prompt metric: train_, validation_ or test_ with loss, error (in percent), accuracy or,
    # for policies, return. Empty: the zoo's own; validation_loss for zoos trained here.
    metric: str = ""
    # How pairs are drawn. start_first: the start, then the target; spacing_first: the number of
    # snapshots between them first, as in G.pt.
    spacing: str = "start_first"
    first_start: float = 0.7  # share of pairs that start from an initial network
    support_min_per_class: int = 4  # support sizes range from this to data.support_per_class
    # How sizes of support sets are drawn: uniform, or log, with one or two shots as often as five
    # to ten.
    support_sizes: str = "uniform"
    support_unequal: float = 0.0  # share of support sets whose classes differ in size
    permute_units: bool = False  # needed by representations that are not equivariant
    permute_labels: float = 0.5  # share of pairs with labels renamed at random
    # Share of pairs whose target is the best snapshot after the start and whose prompt is "as good
    # as you can" instead of a number; 0: such prompts are not learned.
    best_prompts: float = 0.3
    drop: DropConfig = DropConfig()  # shares of the pairs in which a condition is left out
    steps_per_dispatch: int = 50  # steps compiled into one call
    checkpoint_every: int = 500  # steps from one checkpoint to the next
    # Number of latest checkpoints kept, besides the one with the lowest loss (of a dispatch).
    keep_checkpoints: int = 2
    # Plain gradient steps times learning_rate, for evolution strategies.
    plain: bool = dataclasses.field(default=False, metadata=NOT_A_KEY)
    # The key of this learner's learning rate, for messages.
    rate_key: str = dataclasses.field(default="training.learning_rate", metadata=NOT_A_KEY)
    # Whether the learner has its own keys, and can be trained again without the others.
    apart: bool = dataclasses.field(default=False, metadata=NOT_A_KEY)

    @staticmethod
    def of(config: Mapping[str, Any]) -> TrainConfig:
        """Read and check the section of a config; raises UserError."""
        found = read(TrainConfig, config["training"], "training")
        found.check()
        return found

    def check(self) -> None:
        """Raise UserError for invalid values; `PairConfig.of` checks those of pairs."""
        for name in ("steps_per_dispatch", "checkpoint_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise UserError(f"training.{name}={getattr(self, name)} must be 1 or more")
        if self.regression_steps < 0:
            raise UserError(
                f"training.regression_steps={self.regression_steps} must not be negative; 0 leaves "
                "regression out"
            )
        if self.end_to_end_steps < 0 or self.end_to_end_rate <= 0 or self.queries < 1:
            raise UserError(
                "training: end_to_end_steps must not be negative, end_to_end_rate must be above 0 "
                f"and queries 1 or more; they are {self.end_to_end_steps}, "
                f"{self.end_to_end_rate} and {self.queries}"
            )
        if self.schedule not in SCHEDULES:
            raise UserError(
                f"training.schedule={self.schedule!r} is unknown; there are {SCHEDULES}"
            )
        if self.steps < 1 or self.batch_size < 1 or not 0 <= self.warmup_steps <= self.steps:
            raise UserError(
                "training: steps and batch_size must be positive, warmup_steps in 0..steps; they "
                f"are {self.steps}, {self.batch_size}, {self.warmup_steps}"
            )
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise UserError(
                f"training.accumulate={self.accumulate} must be 1 or more and divide "
                f"training.batch_size={self.batch_size}: it is the number of parts of a batch"
            )
        if self.learning_rate <= 0 or self.time_power <= 0 or not 0 <= self.ema_decay < 1:
            raise UserError(
                "training: learning_rate and time_power must be above 0, ema_decay in [0, 1); they "
                f"are {self.learning_rate}, {self.time_power}, {self.ema_decay}"
            )
        if self.gradient_clip <= 0 or not 0 <= self.beta2 < 1:
            raise UserError(
                "training: gradient_clip must be above 0, beta2 in [0, 1); they are "
                f"{self.gradient_clip} and {self.beta2}"
            )
        if self.weight_decay < 0 or self.function_weight < 0:
            raise UserError(
                "training: weight_decay and function_weight must not be negative; they are "
                f"{self.weight_decay} and {self.function_weight}"
            )

    def check_mesh(self, mesh: Mesh) -> None:
        """Raise UserError if the devices cannot share a batch evenly."""
        micro, n = self.batch_size // self.accumulate, mesh_lib.shares(mesh)
        if micro % n:
            raise UserError(
                f"training.batch_size={self.batch_size} in training.accumulate={self.accumulate} "
                f"parts leaves {micro} pairs for {n} devices (data x fsdp) to share evenly: change "
                "one of the two, or --mesh"
            )
