"""A family of tasks: what an experiment's tasks share, images or control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import numpy as np

from mole_jax.core.seeds import checked_seed
from mole_jax.tasks.environments.world import World
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network
from mole_jax.tasks.subsets import DataSubset


class DeviceData(Protocol):
    """The tasks of a family as a pytree of arrays, with pure functions that vmap over tasks.

    A task is a position in the family's task table: an int32 scalar.
    """

    @property
    def score_unit(self) -> float: ...  # as the family's

    def support(self, task: jax.Array, key: jax.Array, n: int) -> Examples:
        """Draw a support set, `n` examples of each class."""

    def classes_of(self, task: jax.Array) -> jax.Array | None:
        """Return how many classes tasks [...] have; None where all have as many as the family."""

    def begun(self, network: Network, flat: jax.Array, task: jax.Array) -> jax.Array:
        """Return fresh networks [..., D] as tasks [...] start training with them."""

    def world(self, task: jax.Array) -> World | None:
        """Return what policies of tasks [...] act in; None where networks do not act."""

    def inputs(self, task: jax.Array, key: jax.Array, n: int) -> jax.Array:
        """Draw inputs [n, F] of the network, on which networks of the task can be compared."""

    def measure(
        self, network: Network, params: Mapping[str, Any], pool: str, task: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Measure a network's loss and score on a pool ("train", "validation", "test"), each []."""

    def floats_per_eval(self, pool: str) -> int:
        """Count float32 numbers in memory while one network is measured on a pool."""


class TaskFamily(Protocol):
    """Everything that tasks of one experiment share.

    source: the name of where they come from. subsets: the task table. score: the name of the
    measure that is reported with the loss, higher being better; divided by score_unit it is a share
    of 1. labelled: whether examples of the support set have labels, so that a network has a loss on
    them. n_classes: how many labels tasks have at most.
    """

    @property
    def source(self) -> str: ...
    @property
    def subsets(self) -> tuple[DataSubset, ...]: ...
    @property
    def network(self) -> Network: ...
    @property
    def device_data(self) -> Any: ...  # a DeviceData
    @property
    def score(self) -> str: ...
    @property
    def score_unit(self) -> float: ...
    @property
    def labelled(self) -> bool: ...
    @property
    def n_classes(self) -> int: ...
    @property
    def classes_of_tasks(self) -> np.ndarray: ...  # [T] how many labels each task has
    @property
    def scale(self) -> float | np.ndarray: ...  # network inputs = what users give * scale + shift
    @property
    def shift(self) -> float | np.ndarray: ...  # [F] where they differ

    def chance_score(self, tasks: np.ndarray) -> np.ndarray:
        """Return the score of an untrained network on tasks [T], as a share of 1: [T]."""

    def chance_loss(self, tasks: np.ndarray) -> np.ndarray:
        """Return the approximate loss of an untrained network on tasks [T]: [T]."""

    def indices(self, split: str) -> np.ndarray:
        """Return positions of the tasks of a split ("train", "S1", ...)."""

    def held_out(self) -> dict[str, np.ndarray]:
        """Return the positions of held-out tasks by split, in the order of the report."""

    def manifest(self) -> dict[str, Any]:
        """Return the split manifest: which examples and tasks are in which part."""

    def provenance(self) -> dict[str, Any]:
        """Return what identifies the examples, for a record of where a result came from."""


def build(config: Mapping[str, Any]) -> TaskFamily:
    """Build the tasks of `config`.

    Raises:
        UserError: for a seed or anything in `config.data` or `config.network` that cannot be done.
    """
    from mole_jax.tasks import control, images

    checked_seed(config["seed"])
    kind = config["data"]["source"].partition(":")[0]
    return control.build(config) if kind == control.PREFIX else images.build(config)
