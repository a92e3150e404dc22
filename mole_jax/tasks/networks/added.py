"""Checks of networks that code outside of MOLE adds: what else would fail late, or not at all."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks.network import Network, NetworkKind, Outputs


def check_kind(kind: Any) -> None:
    """Raise UserError for anything but a NetworkKind whose config has defaults."""
    if not isinstance(kind, NetworkKind):
        raise UserError(f"register: give a NetworkKind, not {kind!r}")
    fields = dataclasses.fields(kind.config) if dataclasses.is_dataclass(kind.config) else None
    if fields is None or not isinstance(kind.config, type):
        raise UserError(f"register: the config of {kind.name!r} must be a dataclass")
    missing = dataclasses.MISSING
    bare = [f.name for f in fields if f.default is missing and f.default_factory is missing]
    if bare:
        raise UserError(f"register: {kind.name!r}: key {bare[0]!r} of its config needs a default")
    if not isinstance(kind.outputs, Outputs):
        raise UserError(f"register: the outputs of {kind.name!r} must be one of {list(Outputs)}")


def check_network(network: Network) -> None:
    """Raise UserError for a network that cannot be applied, or whose symmetries have no axis."""
    name = f"network.name={network.name!r}"
    for symmetry in network.symmetries:
        if symmetry.axis not in network.sizes:
            raise UserError(
                f"{name}: its symmetry {symmetry} is along an axis that no tensor has; there are "
                f"{', '.join(network.sizes)}"
            )
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    inputs = jax.ShapeDtypeStruct((2, network.n_inputs), jnp.float32)
    try:
        found = jax.eval_shape(network.apply, shapes, inputs)
    except Exception as problem:  # of whatever kind: the code is not ours
        said = str(problem).strip().partition("\n")[0]
        raise UserError(
            f"{name} cannot be applied to its parameters alone, [2, {network.n_inputs}] inputs "
            f"({type(problem).__name__}: {said})"
        ) from problem
    if found.shape != (2, network.n_outputs):
        raise UserError(
            f"{name} must give [2, {network.n_outputs}] outputs for [2, {network.n_inputs}] "
            f"inputs, but gives {list(found.shape)}"
        )
