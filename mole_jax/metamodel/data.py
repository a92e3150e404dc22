"""From a stored zoo to the arrays that meta-training draws from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.metamodel.pairs import ZooArrays
from mole_jax.representation import normalise
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks.family import TaskFamily
from mole_jax.tasks.networks import Network
from mole_jax.zoo.family import rebuild
from mole_jax.zoo.reader import Zoo

# Prompts speak of the loss on the validation pool: the test pool is only ever measured.
METRIC = "validation_loss"


def load(zoo: Zoo, family: TaskFamily) -> tuple[Normaliser, ZooArrays]:
    """Read the finite training runs, fit the normaliser on them, and put all on device.

    Raises:
        UserError: when the zoo has no usable training run.
    """
    runs = zoo.select(split="train", finite=True)
    if not len(runs):
        raise UserError(f"{zoo.path}: no finite training run to learn from")
    parameters = zoo.parameters(runs)  # [R, S, D]
    if zoo.schema.config["population"].get("shared_start"):
        normaliser = normalise.fit_shared(family.network, parameters, _initial(family.network))
    else:
        normaliser = normalise.fit(family.network.spec, parameters)
    arrays = ZooArrays(
        parameters=jnp.asarray((parameters - normaliser.mean) / normaliser.scale),
        metric=jnp.asarray(zoo.metric(METRIC, runs)),
        task=jnp.asarray(zoo.runs["subset"][runs]),
    )
    return jax.tree.map(jnp.asarray, normaliser), arrays


def _initial(network: Network, n: int = 256) -> np.ndarray:
    """Initial networks [n, D], always the same: only how far they spread matters."""
    keys = jax.random.split(jax.random.key(0), n)
    return np.asarray(jax.jit(jax.vmap(lambda k: network.spec.flatten(network.init(k))))(keys))


def describe(arrays: ZooArrays) -> str:
    """One line on what training draws from, for the log."""
    n_runs, n_snapshots, size = arrays.parameters.shape
    best = np.asarray(arrays.metric).min(axis=1)
    return (
        f"{n_runs} runs x {n_snapshots} snapshots x {size} parameters "
        f"({arrays.parameters.nbytes / 2**20:.0f} MiB) on device; "
        f"best validation loss of a run {np.median(best):.3f} (median)"
    )


def checked_family(config: Mapping[str, Any], zoo: Zoo) -> TaskFamily:
    """Rebuild the tasks of a config and make sure that they are those the zoo was made from.

    Raises:
        UserError: when the data source has changed since.
    """
    return rebuild(config, zoo)
