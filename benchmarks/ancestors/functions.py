"""Random functions as tasks: what papers before images were tried on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax.core import rng
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, Outputs
from mole_jax.tasks.networks.mlp import MLPConfig
from mole_jax.tasks.networks.mlp import build as build_mlp
from mole_jax.training import loop
from mole_jax.training.learner import Episodes
from mole_jax.training.source import OnDevice
from mole_jax.training.state import State
from mole_jax.training.train_config import TrainConfig

# (key) -> inputs [n, F] and values [n] of a function drawn at random
Draw = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


@dataclasses.dataclass(frozen=True, eq=False)
class Functions(OnDevice):
    """Episodes of random functions: of the examples drawn, the first are the support set."""

    network: Network
    draw_one: Draw
    shots: int
    batch_size: int

    @property
    def constants(self) -> tuple[()]:
        return ()

    def draw(self, constants: Any, drawn: Any, root: jax.Array, step: int | jax.Array) -> Episodes:
        """Draw the functions of a step, each with a fresh network as its start."""
        key = rng.at(root, "functions", step)
        return self.episodes(key, self.batch_size)

    def episodes(self, key: jax.Array, batch: int) -> Episodes:
        """Draw functions."""

        def one(key: jax.Array) -> tuple[Examples, Examples, jax.Array]:
            x, y = self.draw_one(rng.named(key, "function"))
            start = self.network.spec.flatten(self.network.init(rng.named(key, "start")))
            cut = self.shots
            return _examples(x[:cut], y[:cut]), _examples(x[cut:], y[cut:]), start

        support, query, start = jax.vmap(one)(jax.random.split(key, batch))
        return Episodes(
            task=jnp.zeros(batch, jnp.int32),
            support=support,
            query=query,
            start=start,
            start_metric=jnp.full(batch, jnp.nan),
        )


def _examples(x: jax.Array, y: jax.Array) -> Examples:
    return Examples(x, y, jnp.ones(len(x), bool))


def regressor(n_inputs: int, hidden: tuple[int, ...], activation: str = "relu") -> Network:
    """Return an MLP that answers with a number."""
    network = build_mlp(MLPConfig(hidden, activation), (n_inputs,), 1)
    kind = dataclasses.replace(network.kind, outputs=Outputs.VALUES)
    return dataclasses.replace(network, kind=kind)


def train(
    learner: Any, source: Any, folder: Path, *, seed: int, steps: int, rate: float, **more: Any
) -> State:
    """Meta-train by MOLE's own loop, from where an earlier run was interrupted.

    `more` are other keys of `config.training`.
    """
    hyper = TrainConfig(
        **{
            "steps": steps,
            "learning_rate": rate,
            "batch_size": source.batch_size,
            "warmup_steps": 0,
            "weight_decay": 0.0,
            "beta2": 0.999,
            "gradient_clip": 1e9,
            "steps_per_dispatch": max(steps // 20, 1),
            "checkpoint_every": max(steps // 4, 1),
            **more,
        }
    )
    root = rng.key(seed)
    return loop.fit(learner, hyper, source, root, folder, mesh_lib.make_mesh({"data": 1}))
