"""Dense layers whose bfloat16 products accumulate in float32, forward and backward.

Repeated rows are here, too: their gradients are such sums.

XLA's CPU backend is fast for bfloat16 inputs only if the result is float32 and no operand arrives
transposed. The gradient of a kernel, x^T g, needs the transpose of x, which must be laid out row by
row for full speed. XLA does so if something is concatenated to it: here a row of ones, which also
yields the gradient of the bias, a sum over rows that took XLA a third of a small step. Other
backends do without. (Seen with jaxlib 0.10.2: 171 GFLOP/s without a row, 327 with one, where
float32 has 179; see docs/notebook/performance.md.)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class Dense(nn.Module):
    """`nn.DenseGeneral` over the last axis, same parameters: [..., C] -> [..., *features]."""

    features: int | Sequence[int]
    dtype: Any = jnp.float32  # of the products; parameters stay float32
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.features,) if isinstance(self.features, int) else tuple(self.features)
        n_in, n_out = x.shape[-1], math.prod(shape)

        def begin(key: jax.Array) -> jax.Array:
            return self.kernel_init(key, (n_in, n_out), jnp.float32).reshape(n_in, *shape)

        kernel = self.param("kernel", begin).astype(self.dtype)
        bias = jnp.zeros(shape)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, shape)
        x, bias = x.astype(self.dtype), bias.astype(self.dtype)
        if self.dtype != jnp.bfloat16:
            # Nothing is flattened: an axis of the features may be divided between devices.
            y = jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))
            return y + jnp.broadcast_to(bias, y.shape) if self.use_bias else y
        y = linear(x.reshape(-1, n_in), kernel.reshape(n_in, n_out), bias.reshape(n_out))
        return y.reshape(*x.shape[:-1], *shape)


@jax.custom_vjp
def linear(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Return x @ kernel + bias: [N, C], [C, D], [D] bfloat16 -> [N, D] bfloat16, rounded once."""
    y = _dot(x, kernel, 1, 0)
    return (y + jnp.broadcast_to(bias.astype(y.dtype), y.shape)).astype(x.dtype)


def _forward(
    x: jax.Array, kernel: jax.Array, bias: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return linear(x, kernel, bias), (x, kernel)


def _backward(
    kept: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, kernel = kept
    of_x = _dot(g, kernel, 1, 1).astype(x.dtype)
    ones = jnp.ones((1, len(x)), x.dtype)
    if not _on_one_cpu():
        of_kernel, of_bias = _dot(x, g, 0, 0), jnp.sum(g, axis=0, dtype=jnp.float32)
    elif x.shape[1] <= g.shape[1]:  # the smaller operand is the one to transpose
        both = _dot(jnp.concatenate([x.T, ones]), g, 1, 0)
        of_kernel, of_bias = both[:-1], both[-1]
    else:
        joined = jnp.concatenate([g.T, ones])
        of_kernel, of_bias = _dot(joined, x, 1, 0)[:-1].T, _dot(ones, g, 1, 0)[0]
    return of_x, of_kernel.astype(kernel.dtype), of_bias.astype(kernel.dtype)


linear.defvjp(_forward, _backward)


def repeated(x: jax.Array, n: int) -> jax.Array:
    """Repeat each row n times: [B, W] -> [B * n, W].

    Its gradient sums rows. For bfloat16 XLA's CPU backend does that one number at a time; a tree of
    additions of whole rows takes half the time, and sums in float32.
    """
    if x.dtype == jnp.bfloat16 and _on_one_cpu():
        return _repeated(x, n)
    return jnp.repeat(x, n, axis=0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _repeated(x: jax.Array, n: int) -> jax.Array:
    return jnp.repeat(x, n, axis=0)


def _repeated_forward(x: jax.Array, n: int) -> tuple[jax.Array, None]:
    return _repeated(x, n), None


def _summed(n: int, _: None, g: jax.Array) -> tuple[jax.Array]:
    terms = g.reshape(-1, n, g.shape[1]).astype(jnp.float32)
    total = jnp.zeros_like(terms[:, 0])
    while (left := terms.shape[1]) > 1:
        if left % 2:
            total = total + terms[:, -1]
        terms = terms[:, : left // 2] + terms[:, left // 2 : left // 2 * 2]
    return ((total + terms[:, 0]).astype(g.dtype),)


_repeated.defvjp(_repeated_forward, _summed)


def _dot(a: jax.Array, b: jax.Array, axis_a: int, axis_b: int) -> jax.Array:
    return jax.lax.dot_general(
        a, b, (((axis_a,), (axis_b,)), ((), ())), preferred_element_type=jnp.float32
    )


def _on_one_cpu() -> bool:
    """Return whether there is one CPU device.

    Several virtual ones stand for accelerators, where an additional row would divide badly.
    """
    return jax.default_backend() == "cpu" and jax.device_count() == 1
