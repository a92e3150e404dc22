"""Products of dense layers in bfloat16, summed up in float32, forward and backward.

XLA's CPU backend is fast for bfloat16 inputs only where the result is float32 and no operand
arrives transposed; the gradient of a kernel, x^T g, needs the transpose of x. Laid out row by row
it runs at full speed, and XLA lays it out so where something is joined to it - a row of zeros. On
other backends nothing is joined. (Seen with jaxlib 0.10.2: 171 GFLOP/s without, 327 with it,
where float32 has 179; see docs/performance.md.)
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def dot_general(x: jax.Array, kernel: jax.Array, dimensions: Any, **options: Any) -> jax.Array:
    """Compute a product as Flax's dense layers ask for it.

    Args:
        x: [..., C].
        kernel: [C, ...].
        dimensions: that the last axis of x is contracted with the first of the kernel.
        **options: of lax.dot_general; for bfloat16 there is nothing to choose.

    Returns:
        [..., ...] in the type of x.
    """
    plain = ((x.ndim - 1,), (0,)), ((), ())
    given = tuple(tuple(tuple(int(i) for i in axes) for axes in pair) for pair in dimensions)
    if x.dtype != jnp.bfloat16 or given != plain:
        return jax.lax.dot_general(x, kernel, dimensions, **options)
    flat = product(x.reshape(-1, x.shape[-1]), kernel.reshape(len(kernel), -1))
    return flat.reshape(*x.shape[:-1], *kernel.shape[1:])


@jax.custom_vjp
def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x @ kernel: [N, C] and [C, D], bfloat16 -> [N, D] bfloat16, rounded once."""
    return _dot(x, kernel, 1, 0).astype(x.dtype)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return product(x, kernel), (x, kernel)


def _backward(kept: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    of_x = _dot(g, kernel, 1, 1).astype(x.dtype)
    if _on_one_cpu():
        # The smaller operand is the one to transpose.
        narrow = x.shape[1] <= g.shape[1]
        of_kernel = _transposed_dot(x, g) if narrow else _transposed_dot(g, x).T
    else:
        of_kernel = _dot(x, g, 0, 0)
    return of_x, of_kernel.astype(kernel.dtype)


product.defvjp(_forward, _backward)


def _transposed_dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """a.T @ b in float32, with a's transpose laid out row by row: see above."""
    joined = jnp.concatenate([a.T, jnp.zeros((1, len(a)), a.dtype)])
    return _dot(joined, b, 1, 0)[:-1]


Dense = functools.partial(nn.Dense, dot_general=dot_general)
DenseGeneral = functools.partial(nn.DenseGeneral, dot_general=dot_general)


def _dot(a: jax.Array, b: jax.Array, axis_a: int, axis_b: int) -> jax.Array:
    return jax.lax.dot_general(
        a, b, (((axis_a,), (axis_b,)), ((), ())), preferred_element_type=jnp.float32
    )


def _on_one_cpu() -> bool:
    """Several virtual devices stand for accelerators, on which a row more would divide badly."""
    return jax.default_backend() == "cpu" and jax.device_count() == 1
