"""Scaled dot-product attention, by a fused kernel where the backend has one that fits."""

from __future__ import annotations

import functools
import sys
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from mole_jax.core.devices import distributed

# What cuDNN's kernels take (jax.nn.dot_product_attention).
_DTYPES = (jnp.bfloat16, jnp.float16)
_LARGEST_HEAD = 128


def attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    there: jax.Array | None = None,
    bias: jax.Array | None = None,
) -> jax.Array:
    """softmax(q k^T / sqrt(d)) v (Vaswani et al. 2017): queries, keys, values [B, L, H, d] -> same.

    `there` [B, L] bool says which tokens are looked at; None: all. `bias` [1, H, L, L] is added to
    what softmax is taken of.

    On NVIDIA GPUs cuDNN's flash attention, in 16 bits; elsewhere what XLA makes of the products. Of
    TPUs, too: their flash kernels work on blocks of 128 tokens, of which a network has a few dozen.
    """
    chex.assert_equal_shape([q, k, v], custom_message="queries, keys, values [B, L, H, d]")
    fused = jax.default_backend() == "gpu" and fits(q) and _is_there()
    mask = None
    if there is not None:  # [B, 1, queries, keys]: cuDNN repeats it for heads, and nothing else
        mask = jnp.repeat(there[:, None, None], q.shape[1], axis=2)
    how: Literal["cudnn"] | None = "cudnn" if fused else None
    if bias is not None:
        bias = bias.astype(q.dtype)
    return jax.nn.dot_product_attention(q, k, v, bias=bias, mask=mask, implementation=how)


def fits(q: jax.Array) -> bool:
    """Whether cuDNN's kernels take queries of such a type and size.

    Of odd lengths they have no gradient, as JAX calls them: it always gives a bias, if an empty one
    (seen with 0.11.2, and in the code of 0.10.2).
    """
    length, size = q.shape[1], q.shape[-1]
    return q.dtype in _DTYPES and length % 2 == 0 and size % 8 == 0 and size <= _LARGEST_HEAD


@functools.cache
def _is_there() -> bool:
    """Whether cuDNN's kernels compile here, forward and backward; said once, as all choices are."""

    def total(q: jax.Array) -> jax.Array:
        y = jax.nn.dot_product_attention(q, q, q, implementation="cudnn")
        return jnp.sum(y.astype(jnp.float32))

    try:
        jax.jit(jax.grad(total)).lower(jax.ShapeDtypeStruct((1, 8, 1, 8), jnp.bfloat16)).compile()
    except Exception as problem:  # of cuDNN's, XLA's or JAX's: XLA's own works in any case
        reason = str(problem).splitlines()[0][:200]
        if distributed.is_first():
            print(f"attention: not cuDNN's but XLA's own, since {reason}", file=sys.stderr)
        return False
    if distributed.is_first():
        print("attention: cuDNN's flash attention", flush=True)
    return True
