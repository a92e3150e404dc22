"""Embeddings of scalars: the diffusion time and (log-scaled) metrics."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

# Losses below 1e-3 nats count as 1e-3: there the logarithm is noise.
SMALLEST_METRIC = 1e-3


def fourier(x: jax.Array, n_frequencies: int, lowest: float, highest: float) -> jax.Array:
    """[...] -> [..., 2 n + 1]: x itself and sines and cosines at geometrically spaced rates."""
    rates = np.geomspace(lowest, highest, n_frequencies).astype(np.float32)
    return jnp.concatenate([x[..., None], sines(x, rates)], axis=-1)


def sines(x: jax.Array, rates: np.ndarray) -> jax.Array:
    """[...] float32 and rates [n] float32 -> [..., 2 n]: all sines, then all cosines."""
    phase = x[..., None] * jnp.asarray(rates).reshape((1,) * x.ndim + (-1,))
    return jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)


class ScalarEmbedding(nn.Module):
    """A scalar of order 1 -> [..., width].

    Learned vectors replace it where `best` is True and where `use` is False; `use` takes
    precedence.
    """

    width: int
    n_frequencies: int = 16
    highest: float = 32.0

    @nn.compact
    def __call__(
        self, x: jax.Array, use: jax.Array | None = None, best: jax.Array | None = None
    ) -> jax.Array:
        features = fourier(x, self.n_frequencies, 0.5, self.highest)
        h = nn.Dense(self.width, name="hidden")(features)
        h = nn.Dense(self.width, name="out")(nn.silu(h))
        if best is not None:
            h = jnp.where(best[..., None], self._learned("best", best.ndim), h)
        if use is None:
            return h
        return jnp.where(use[..., None], h, self._learned("absent", use.ndim))

    def _learned(self, name: str, n_dims: int) -> jax.Array:
        vector = self.param(name, nn.initializers.normal(0.02), (self.width,))
        return vector.reshape((1,) * n_dims + (-1,))


def log_metric(metric: jax.Array) -> jax.Array:
    """Loss in nats -> its natural logarithm, bounded below by log(SMALLEST_METRIC)."""
    return jnp.log(jnp.maximum(metric, SMALLEST_METRIC))
