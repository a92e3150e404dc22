"""Gradient accumulation: a batch in parts, one after another, so activations take less memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from mole_jax.metamodel.networks import sharding


def mean(of: Callable[[Any], Any], batch: Any, parts: int, mesh: Mesh | None) -> Any:
    """Return the mean of a function over the parts of a batch.

    Args:
        of: batch -> a pytree of means over that batch, such as a gradient.
        batch: leaves [B, ...].
        parts: how many; it divides B.
        mesh: its devices share the batch, and each cuts its own share.
    """
    if parts == 1:
        return of(batch)
    # Every n-th example belongs to the same part, so none has to move to another device.
    micro = jax.tree.map(lambda x: jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1), batch)
    micro = sharding.shard_batch(micro, mesh, axis=1)

    def add(total: Any, part: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, of(part)), None

    found = jax.eval_shape(of, jax.tree.map(lambda x: x[0], micro))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), found)
    total, _ = jax.lax.scan(add, zeros, micro)
    return jax.tree.map(lambda x: x / parts, total)
