"""The section `training` of a config: how a meta-model is trained, and on which pairs."""

from __future__ import annotations

import dataclasses

from mole_jax.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class DropConfig:
    """Share of the pairs in which a condition is left out."""

    support: float = 0.1
    target_metric: float = 0.1
    start: float = 0.1


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The section `training`."""

    steps: int = 1500
    regression_steps: int = 300  # of the deterministic twin, a baseline; 0 leaves it out
    batch_size: int = 64
    accumulate: int = 1  # parts that a batch is cut into, one after another: less memory
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    beta2: float = 0.99
    gradient_clip: float = 1.0
    ema_decay: float = 0.995
    schedule: str = "warmup_then_cosine"  # or warmup_times_cosine, from the first step on
    ema_warmup: bool = True  # the average looks back less far at first
    function_weight: float = 10.0  # of the networks' outputs beside their weights
    function_images: int = 64
    mix_images: bool = True  # compare on mixtures of images, which none has learned by heart
    time_power: float = 0.33  # below 1: more of the training at high noise
    # The metric of prompts: train_, validation_ or test_ with loss, error (in percent), accuracy or
    # (of policies) return. Empty: what the zoo says, validation_loss of those trained here.
    metric: str = ""
    # start_first: pairs by their start, then their target; spacing_first: as G.pt draws them
    spacing: str = "start_first"
    first_start: float = 0.7  # share of pairs that start from an initial network
    support_min_per_class: int = 4  # support sets vary from here to data.support_per_class
    permute_units: bool = False  # needed by representations that are not equivariant
    permute_labels: float = 0.5  # share of pairs with labels renamed at random
    drop: DropConfig = DropConfig()
    steps_per_dispatch: int = 50
    checkpoint_every: int = 500
    # The last ones kept, and beside them the one with the lowest loss (of a dispatch's steps).
    keep_checkpoints: int = 2

    def check(self) -> None:
        """Raise UserError for values that cannot be; `Hyper.of` and `Draw.of` check the others."""
        for name in ("steps_per_dispatch", "checkpoint_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise UserError(f"training.{name}={getattr(self, name)} must be 1 or more")
        if self.regression_steps < 0:
            raise UserError(
                f"training.regression_steps={self.regression_steps} must not be negative; 0 leaves "
                "regression out"
            )
