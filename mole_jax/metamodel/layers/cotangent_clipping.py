"""Clip what a step passes back, so that derivatives stay bounded through any number of steps.

Going along a gradient many times, and differentiating through all of it, multiplies one Jacobian
by the next; where the steps are too long for the curvature their product explodes, and with it the
gradient that could have shortened them. Clipping the whole gradient comes too late: what is left
of it points along the explosion (Metz et al. 2021, Gradients are not all you need).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def clip_cotangent(step: Callable[..., jax.Array], growth: float) -> Callable[..., jax.Array]:
    """Return the same step, whose vector-Jacobian product is clipped: no cotangent gets longer.

    Args:
        step: (x [B, ...], *others) -> new x [B, ...]. It may close over arrays.
        growth: an example's cotangent of x is at most this many times as long as the result's.

    Returns:
        A function of the same arguments and values. The derivatives in the other arguments are
        those of the step.
    """

    def call(x: jax.Array, *others: Any) -> jax.Array:
        converted, hoisted = jax.closure_convert(step, x, *others)
        return _clipped(converted, growth, x, *others, *hoisted)

    return call


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _clipped(
    step: Callable[..., jax.Array], growth: float, x: jax.Array, *others: Any
) -> jax.Array:
    return step(x, *others)


def _forward(
    step: Callable[..., jax.Array], growth: float, x: jax.Array, *others: Any
) -> tuple[jax.Array, Any]:
    return jax.vjp(step, x, *others)


def _backward(
    step: Callable[..., jax.Array], growth: float, pullback: Any, cotangent: jax.Array
) -> tuple[Any, ...]:
    of_x, *of_others = pullback(cotangent)
    length, most = _lengths(of_x), growth * _lengths(cotangent)
    scale = jnp.where(length > most, most / jnp.maximum(length, 1e-30), 1.0)
    return (of_x * scale, *of_others)


_clipped.defvjp(_forward, _backward)


def _lengths(x: jax.Array) -> jax.Array:
    """Euclidean norm of each example: [B, ...] -> [B, 1, ...]."""
    return jnp.sqrt(jnp.sum(x**2, axis=tuple(range(1, x.ndim)), keepdims=True))
