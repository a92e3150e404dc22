"""The gradient through the training of other networks, cut into truncations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

Carry = TypeVar("Carry")


def truncated(
    segment: Callable[[Any, Carry, jax.Array], tuple[jax.Array, Carry]],
    theta: Any,
    begun: Carry,
    n_segments: int,
) -> tuple[Any, jax.Array]:
    """Return the gradient of the mean loss of segments, cut between segments.

    Theta is the same in all of them; others take a step after each (Andrychowicz et al. 2016).

    Args:
        segment: (theta, carry, its number []) -> (its loss [], carry).
        theta: the parameters to differentiate with respect to.
        begun: the carry before the first segment.
        n_segments: number of consecutive segments.

    Returns:
        The gradient, with theta's structure, and the mean loss.
    """

    def add(both: tuple[Carry, Any], i: jax.Array) -> tuple[tuple[Carry, Any], jax.Array]:
        carry, total = both
        (loss, carry), grads = jax.value_and_grad(segment, has_aux=True)(theta, carry, i)
        return (carry, jax.tree.map(jnp.add, total, grads)), loss

    zero = jax.tree.map(jnp.zeros_like, theta)
    (_, total), losses = jax.lax.scan(add, (begun, zero), jnp.arange(n_segments))
    return jax.tree.map(lambda x: x / n_segments, total), jnp.mean(losses)
