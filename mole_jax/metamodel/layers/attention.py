"""Scaled dot-product attention, with a fused kernel where the backend has one that fits."""

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

    `there` [B, L] bool says which tokens are attended to; None: all. `bias` [1, H, L, L] is added
    to the logits.

    NVIDIA GPUs use cuDNN's flash attention, in 16 bits; all else uses XLA's products. So do TPUs:
    their flash kernels work on blocks of 128 tokens, and a network has a few dozen.
    """
    chex.assert_equal_shape([q, k, v], custom_message="queries, keys, values [B, L, H, d]")
    fused = jax.default_backend() == "gpu" and fits(q) and _is_there()
    mask = None
    if there is not None:  # [B, 1, queries, keys]: cuDNN broadcasts it over heads only
        mask = jnp.repeat(there[:, None, None], q.shape[1], axis=2)
    how: Literal["cudnn"] | None = "cudnn" if fused else None
    if bias is not None:
        bias = bias.astype(q.dtype)
    return jax.nn.dot_product_attention(q, k, v, bias=bias, mask=mask, implementation=how)


def fits(q: jax.Array) -> bool:
    """Return whether cuDNN's kernels take queries of this type and size.

    For odd lengths they have no gradient when called by JAX, which always passes a bias, even if
    an empty one (seen with 0.11.2, and in the code of 0.10.2).
    """
    length, size = q.shape[1], q.shape[-1]
    return q.dtype in _DTYPES and length % 2 == 0 and size % 8 == 0 and size <= _LARGEST_HEAD


@functools.cache
def _is_there() -> bool:
    """Return whether cuDNN's kernels compile here, forward and backward; log the choice once."""

    def total(q: jax.Array) -> jax.Array:
        y = jax.nn.dot_product_attention(q, q, q, implementation="cudnn")
        return jnp.sum(y.astype(jnp.float32))

    try:
        jax.jit(jax.grad(total)).lower(jax.ShapeDtypeStruct((1, 8, 1, 8), jnp.bfloat16)).compile()
    except Exception as problem:  # from cuDNN, XLA or JAX: XLA's own works in any case
        reason = str(problem).splitlines()[0][:200]
        if distributed.is_first():
            print(f"attention: XLA's own instead of cuDNN's: {reason}", file=sys.stderr)
        return False
    if distributed.is_first():
        print("attention: cuDNN's flash attention", flush=True)
    return True
