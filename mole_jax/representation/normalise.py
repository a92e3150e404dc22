"""Per-tensor normalisation, fitted on the zoo's training runs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mole_jax.tasks.parameters import ParameterSpec


class Normaliser(NamedTuple):
    """An affine map for each parameter, constant within a tensor."""

    mean: Any  # [D]
    scale: Any  # [D], positive

    def normalise(self, flat: Any) -> Any:  # [..., D] -> [..., D]
        return (flat - jnp.broadcast_to(self.mean, flat.shape)) / jnp.broadcast_to(
            self.scale, flat.shape
        )

    def denormalise(self, flat: Any) -> Any:  # [..., D] -> [..., D]
        return flat * jnp.broadcast_to(self.scale, flat.shape) + jnp.broadcast_to(
            self.mean, flat.shape
        )


def fit(spec: ParameterSpec, parameters: np.ndarray) -> Normaliser:
    """Mean and standard deviation of every tensor over runs, snapshots and its own entries.

    Args:
        spec: the layout.
        parameters: [..., D], finite.
    """
    mean, scale = np.zeros(spec.size, np.float32), np.ones(spec.size, np.float32)
    flat = parameters.reshape(-1, spec.size)
    for field in spec.fields:
        values = flat[:, field.slice]
        middle, spread = values.mean(dtype=np.float64), values.std(dtype=np.float64)
        mean[field.slice] = middle
        # A tensor that never moves (a bias kept at zero) keeps a scale of 1; rounding alone can
        # give its standard deviation a value above zero.
        if spread > np.finfo(np.float32).eps * abs(middle):
            scale[field.slice] = spread
    return Normaliser(mean, scale)
