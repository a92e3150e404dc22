"""Families of control problems: pure functions, and parameters that distinguish the problems.

An environment is to a policy what a data source is to a classifier; the parameters of its dynamics
are to it what the classes of a data subset are. An environment is one file and one line of
ENVIRONMENTS.
"""

from __future__ import annotations

from mole_jax.core.unknown import unknown
from mole_jax.tasks.environments.cartpole import CARTPOLE
from mole_jax.tasks.environments.environment import Environment

__all__ = ["ENVIRONMENTS", "NAMES", "Environment", "build"]

ENVIRONMENTS = {environment.name: environment for environment in (CARTPOLE,)}
NAMES = tuple(ENVIRONMENTS)


def build(name: str) -> Environment:
    """Return the environment that `data.source` names after "env:".

    Raises:
        UserError: for an unknown name.
    """
    if name not in ENVIRONMENTS:
        raise unknown("environment", name, NAMES)
    return ENVIRONMENTS[name]
