"""Clip the cotangents of a step, so that derivatives stay bounded through any number of steps.

Differentiating through many gradient steps multiplies their Jacobians. If the steps are too long
for the curvature, the product explodes, and with it the gradient that could have shortened them.
Clipping the whole gradient comes too late: what is left points along the explosion (Metz et al.
2021, Gradients are not all you need).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def clip_cotangent(step: Callable[..., Any], growth: float) -> Callable[..., Any]:
    """Return the same step with a clipped vector-Jacobian product.

    Args:
        step: (x, *others) -> new x, a pytree of arrays [B, ...]. It may close over arrays.
        growth: an example's cotangent of x is at most this many times as long as the result's.

    Returns:
        A function with the same arguments and values. Derivatives with respect to the other
        arguments are not clipped.
    """

    def call(x: Any, *others: Any) -> Any:
        converted, hoisted = jax.closure_convert(step, x, *others)
        return _clipped(converted, growth, x, *others, *hoisted)

    return call


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _clipped(step: Callable[..., Any], growth: float, x: Any, *others: Any) -> Any:
    return step(x, *others)


def _forward(
    step: Callable[..., Any], growth: float, x: Any, *others: Any
) -> tuple[Any, Callable[..., Any]]:
    return jax.vjp(step, x, *others)


def _backward(
    step: Callable[..., Any], growth: float, pullback: Any, cotangent: Any
) -> tuple[Any, ...]:
    of_x, *of_others = pullback(cotangent)
    length, most = _lengths(of_x), growth * _lengths(cotangent)
    scale = jnp.where(length > most, most / jnp.maximum(length, 1e-30), 1.0)
    return (
        jax.tree.map(lambda x: x * scale.reshape(-1, *[1] * (x.ndim - 1)), of_x),
        *of_others,
    )


_clipped.defvjp(_forward, _backward)


def _lengths(x: Any) -> jax.Array:
    """Return the Euclidean norm of each example, over all its arrays: [B]."""
    squares = [jnp.sum(part**2, axis=tuple(range(1, part.ndim))) for part in jax.tree.leaves(x)]
    return jnp.sqrt(functools.reduce(jnp.add, squares))
