"""The common part of the ancestors."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Self

from jax.sharding import Mesh

from mole_jax.core.errors import UserError
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.representation.fitted import Fitted
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Label


@dataclasses.dataclass(frozen=True)
class AncestorConfig:
    """Keys that every ancestor has."""

    steps: int = 0  # meta-training steps; 0 leaves it out
    rate: float = 1e-3  # learning rate of meta-training
    batch_size: int = 0  # episodes per step; 0: training.batch_size

    knobs: ClassVar[tuple[str, ...]] = ("rate",)  # what to lower if its training diverges

    def check(self, name: str) -> None:
        """Raise UserError for invalid values, naming the key."""
        for key in ("steps", "batch_size"):
            if getattr(self, key) < 0:
                raise UserError(f"learners.{name}.{key}={getattr(self, key)} must not be negative")
        if self.rate <= 0:
            raise UserError(f"learners.{name}.rate={self.rate} must be above 0")


def check_tries(name: str, key: str, tried: tuple[float, ...]) -> None:
    """Raise UserError unless there are only positive numbers to try, naming the key."""
    if not tried or min(tried) <= 0:
        raise UserError(f"learners.{name}.{key}={tried} must be one or more numbers above 0")


@dataclasses.dataclass(frozen=True, eq=False)
class Ancestor:
    """A learner that is meta-trained on episodes, and has nothing to fit to a zoo."""

    network: Network
    name: str
    label: Label
    mesh: Mesh | None  # for computing gradients
    parts: int  # of a batch, one after another

    source: ClassVar[str] = "episodes"
    n_tokens: ClassVar[int] = 1
    writes_networks: ClassVar[bool] = True

    def on(self, mesh: Mesh, parts: int) -> Self:
        """Return the learner that computes gradients on a mesh, in parts."""
        return dataclasses.replace(self, mesh=mesh, parts=parts)

    def check_mesh(self, mesh: Mesh) -> None:
        """Accept every mesh: nothing here is divided along `tensor`."""

    def without_remat(self) -> Self | None:
        """Return None: nothing is computed twice."""
        return None

    def polished(self, steps: int) -> Self | None:
        """Return None: how many steps it takes is its own choice."""
        return None

    def ready(self, fitted: Fitted, plan: Plan) -> Self:
        """Return the learner as it is: it has no representation and is not sampled from."""
        return self

    @property
    def setting(self) -> dict[str, Any]:
        """Return the current setting; see `Learner.choices`."""
        return {}

    def choices(self) -> tuple[Any, ...]:
        """Return the settings to choose from; see `Learner.choices`."""
        return ()
