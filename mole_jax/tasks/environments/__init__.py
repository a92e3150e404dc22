"""Families of control problems: pure functions, and parameters that distinguish the problems.

Environments are to policies what data sources are to classifiers, and the parameters of their
dynamics correspond to the classes of a data subset. An environment is one file and one line of
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
