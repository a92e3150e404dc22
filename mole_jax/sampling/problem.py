"""The environment's problem that policies practise in, as callers give it."""

from __future__ import annotations

import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np

from mole_jax.core import given
from mole_jax.core.errors import MoleWarning, UserError
from mole_jax.tasks.environments import Environment
from mole_jax.tasks.environments.world import World
from mole_jax.training.learner import Learner


def of_caller(
    learner: Learner, objective: str, environment: Environment | None, parameters: Any
) -> World | None:
    """Return what a learner practises in; None for a learner that does not practise.

    Args:
        learner: the learner.
        objective: its name, for messages.
        environment: of the tasks; None for images.
        parameters: [P], or None.

    Raises:
        UserError: for parameters that are invalid, missing or not needed.

    Warns:
        MoleWarning: for parameters outside of the range of training.
    """
    if not learner.uses.pool:
        if parameters is not None:
            raise UserError(
                f"the {objective} model does not practise in an environment: leave parameters out"
            )
        return None
    assert environment is not None  # classifiers practise on their support set
    names = environment.parameter_names
    if parameters is None:
        raise UserError(
            f"the {objective} model practises in the environment: give its parameters, "
            f"{', '.join(names)}"
        )
    found = given.floats("parameters", parameters)
    if found.shape != (len(names),):
        raise UserError(
            f"parameters must be {len(names)} numbers, {', '.join(names)}, not of shape "
            f"{list(found.shape)}"
        )
    low, high, signed = (
        np.asarray(x)
        for x in (
            environment.parameter_low,
            environment.parameter_high,
            environment.parameter_signed,
        )
    )
    size = np.where(signed, np.abs(found), found)
    inside = (low * (1 - 1e-6) <= size) & (size <= high * (1 + 1e-6))
    if not inside.all():
        which = ", ".join(name for name, ok in zip(names, inside, strict=True) if not ok)
        warnings.warn(
            f"parameters: {which}: outside of the range of training; policies may be worse than "
            "usual",
            MoleWarning,
            stacklevel=3,
        )
    return World(jnp.asarray(found), environment)
