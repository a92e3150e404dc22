"""Initialisation of a network's linear layers and convolutions: `config.network.init`.

default  each network as its file says: He-uniform kernels, mostly, and zero biases
torch    as PyTorch's layers start: kernel and bias uniform within +- 1 / sqrt(inputs of a unit)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax.core.errors import UserError

DEFAULT, TORCH = "default", "torch"
CHOICES = (DEFAULT, TORCH)

Initializer = Callable[..., jax.Array]  # (key, shape, dtype) -> tensor


def check(name: str) -> None:
    """Raise UserError for an unknown initialisation."""
    if name not in CHOICES:
        raise UserError(f"network.init={name!r} is unknown; there are {CHOICES}")


def torch(n_inputs: int) -> Initializer:
    """Return PyTorch's initialiser for a layer whose units have `n_inputs` inputs each."""

    def initial(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        bound = n_inputs**-0.5
        return jax.random.uniform(key, shape, dtype, minval=-bound, maxval=bound)

    return initial
