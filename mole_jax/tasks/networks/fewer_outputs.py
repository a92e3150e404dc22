"""A task's own network as a part of the one that all tasks share.

All tasks of an experiment share one network, with as many outputs as any task has classes. Nothing
depends on the parameters of outputs that stand for no class. They are zero in stored runs and in
predictions, and callers pass and receive networks that lack them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.tasks.networks.network import Network


def emptied(network: Network, flat: jax.Array, n_classes: jax.Array | None) -> jax.Array:
    """Set the parameters of outputs that stand for no class to zero.

    Args:
        network: the network.
        flat: [..., D] parameters.
        n_classes: [...] classes of their tasks; None: all, and the parameters stay as they are.

    Returns:
        [..., D]
    """
    if n_classes is None:
        return flat
    own = network.output_of.reshape(*[1] * n_classes.ndim, -1)
    there = jnp.broadcast_to(own < n_classes[..., None], flat.shape)
    return jnp.where(there, flat, jnp.zeros((), flat.dtype))


def narrowed(network: Network, flat: Any, own: Network) -> Any:
    """Return the parameters [..., d] of a task's own network, out of all [..., D]."""
    return flat if own.spec.size == network.spec.size else flat[..., _kept(network, own)]


def widened(network: Network, flat: jax.Array, own: Network) -> jax.Array:
    """Return all parameters [..., D]: those of a task's own network [..., d], and zeros."""
    if own.spec.size == network.spec.size:
        return flat
    everything = jnp.zeros((*flat.shape[:-1], network.spec.size), flat.dtype)
    return everything.at[..., _kept(network, own)].set(flat)


def _kept(network: Network, own: Network) -> np.ndarray:
    if network.frame is not None and own.frame is None:
        return network.frame.places(network, own)
    return np.flatnonzero(network.output_of < own.n_outputs)
