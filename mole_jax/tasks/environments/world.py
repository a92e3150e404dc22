"""One problem of an environment, or many of them: what a policy can practise in."""

from __future__ import annotations

import dataclasses
import functools

import jax

from mole_jax.tasks.environments.environment import Environment


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["parameters"], meta_fields=["environment"]
)
@dataclasses.dataclass(frozen=True)
class World:
    """An environment with its parameters set."""

    parameters: jax.Array  # [..., P]
    environment: Environment
