"""The section `zoo` of a config: how histories are stored, and read for training."""

from __future__ import annotations

import dataclasses
import math

from mole_jax.core.errors import UserError

DTYPES = ("float32", "bfloat16", "float16")  # networks are trained in float32
PLACEMENTS = ("auto", "device", "host", "stream")


@dataclasses.dataclass(frozen=True)
class ZooConfig:
    """How histories are stored, and read for training: the section `zoo`."""

    subsets_per_group: int = 126  # data subsets that are trained and stored together
    runs_per_shard: int = 256  # runs in a file
    runs_per_chunk: int = 8  # runs that are compressed and read together
    # Members of one data subset trained at a time; 0: all members of subsets_per_group data
    # subsets. No result depends on it.
    members_per_group: int = 0
    # Type of stored parameters: float32, or half the space in bfloat16 or float16. Metrics stay
    # those of the float32 network.
    dtype: str = "float32"
    # Where training keeps the parameters: device, host, stream (nowhere, they are read from the
    # zoo as they are needed) or auto, the first of these with room. No number depends on it.
    placement: str = "auto"
    memory_gb: float = 0.0  # memory for them; 0: half of the device's and of the host's
    # While training, replace the oldest runs on the device by new members of training subsets,
    # which are not stored: live_refresh runs, each of a different data subset, every live_every
    # steps (a multiple of training.steps_per_dispatch). At first the device has the stored zoo's
    # runs, and new ones if live_runs is larger.
    live: bool = False
    live_runs: int = 0  # runs on the device; 0: as many as the stored zoo has to train on
    live_every: int = 150  # steps from one replacement to the next
    live_refresh: int = 100  # runs that are replaced at a time

    def check(self) -> None:
        """Raise UserError for invalid values."""
        for name in ("subsets_per_group", "runs_per_shard", "runs_per_chunk"):
            if getattr(self, name) < 1:
                raise UserError(f"zoo.{name}={getattr(self, name)} must be 1 or more")
        if self.members_per_group < 0:
            raise UserError(
                f"zoo.members_per_group={self.members_per_group} must be 1 or more, or 0 for all "
                "of a data subset"
            )
        if self.runs_per_shard % self.runs_per_chunk:
            raise UserError("zoo.runs_per_shard must be a multiple of zoo.runs_per_chunk")
        if self.dtype not in DTYPES:
            raise UserError(f"zoo.dtype={self.dtype!r} must be one of {', '.join(DTYPES)}")
        if self.placement not in PLACEMENTS:
            raise UserError(
                f"zoo.placement={self.placement!r} must be one of {', '.join(PLACEMENTS)}"
            )
        if not 0 <= self.memory_gb < math.inf:
            raise UserError(f"zoo.memory_gb={self.memory_gb} must be 0 or more")
