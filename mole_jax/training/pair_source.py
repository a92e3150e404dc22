"""Pairs of a zoo as the source of training batches."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager
from typing import Any

import jax
from jax.sharding import Mesh

from mole_jax.core import rng
from mole_jax.core.devices import distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks.family import DeviceData
from mole_jax.tasks.networks import Network
from mole_jax.training import feeding, pairs
from mole_jax.training.data import TrainingRuns
from mole_jax.training.live import LiveFeed, LiveZoo
from mole_jax.training.pairs import PairConfig, Pairs, ZooArrays
from mole_jax.training.source import Feed


@dataclasses.dataclass(frozen=True, eq=False)
class PairSource:
    """Pairs from runs on the device, from those of `runs`, or from a live zoo."""

    rules: PairConfig
    batch_size: int
    network: Network
    normaliser: Normaliser
    data: DeviceData
    arrays: ZooArrays
    runs: TrainingRuns | None = None
    renewed: LiveZoo | None = None

    @property
    def constants(self) -> tuple[Normaliser, DeviceData]:
        return self.normaliser, self.data

    def like(self, mesh: Mesh, n_steps: int) -> ZooArrays:
        if self.renewed is not None:
            return self.renewed.like(mesh)
        return feeding.like(self.arrays, self.runs, self.batch_size, mesh, n_steps)

    def feed(
        self, root: jax.Array, mesh: Mesh, first_step: int, last_step: int, steps_ahead: int
    ) -> AbstractContextManager[Feed]:
        if self.renewed is not None:
            return LiveFeed(self.renewed, mesh)
        return feeding.RowFeed(
            distributed.put(self.arrays, mesh_lib.replicated(mesh)),
            self.runs,
            self.rules,
            lambda step: pairs_key(root, step),
            self.batch_size,
            mesh,
            first_step,
            last_step,
            steps_ahead,
        )

    def draw(
        self, constants: Any, drawn: ZooArrays, root: jax.Array, step: int | jax.Array
    ) -> Pairs:
        normaliser, data = constants
        return pairs.draw(
            self.rules,
            self.network,
            drawn.at(step),
            data,
            normaliser,
            pairs_key(root, step),
            self.batch_size,
        )


def pairs_key(root: jax.Array, step: int | jax.Array) -> jax.Array:
    """Return the key for drawing the pairs of a step."""
    return rng.at(root, "pairs", step)
