"""Per-tensor normalisation, fitted on the zoo's training runs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mole_jax.tasks.networks import OUTPUT, Network
from mole_jax.tasks.parameters import ParameterSpec


class Normaliser(NamedTuple):
    """An affine map for each parameter, constant within a tensor."""

    mean: Any  # [D]
    scale: Any  # [D], positive
    change: Any  # [D], 0 or more: spread of later snapshots around the first, normalised

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

    `change` is the root mean square of how far a tensor is from where its run began.

    Args:
        spec: the layout.
        parameters: [R, S, D], finite.
    """
    mean = np.zeros(spec.size, np.float32)
    scale, change = np.ones_like(mean), np.zeros_like(mean)
    for field in spec.fields:
        values = parameters[..., field.slice]
        middle, spread = values.mean(dtype=np.float64), values.std(dtype=np.float64)
        mean[field.slice] = middle
        # A tensor that never moves (a bias kept at zero) keeps a scale of 1; rounding alone can
        # give its standard deviation a value above zero.
        if spread > np.finfo(np.float32).eps * abs(middle):
            scale[field.slice] = spread
            moved = (values[:, 1:] - values[:, :1]) / np.float32(spread)
            change[field.slice] = np.sqrt(np.mean(moved**2, dtype=np.float64))
    return Normaliser(mean, scale, change)


def fit_shared(network: Network, parameters: np.ndarray, others: np.ndarray) -> Normaliser:
    """For runs that share one start: the mean of every parameter, and a scale of every tensor.

    Parameters of different outputs share a mean, so that renaming labels keeps it. `change` is the
    root mean square of how far other initial networks are from that mean.

    Args:
        network: whose runs they are.
        parameters: [R, S, D], finite.
        others: [n, D] initial networks like those that prompts will start from.
    """
    mean = parameters.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    scale, change = np.ones_like(mean), np.zeros_like(mean)
    for field in network.spec.fields:
        at, axes = field.slice, network.axes[field.path]
        if OUTPUT in axes:
            tensor = mean[at].reshape(field.shape)
            tensor = tensor.mean(axis=axes.index(OUTPUT), keepdims=True)
            mean[at] = np.broadcast_to(tensor, field.shape).reshape(-1)
        spread = np.sqrt(np.mean((parameters[..., at] - mean[at]) ** 2, dtype=np.float64))
        if spread > np.finfo(np.float32).eps * np.abs(mean[at]).max():
            scale[at] = spread
            away = (others[:, at] - mean[at]) / np.float32(spread)
            change[at] = np.sqrt(np.mean(away**2, dtype=np.float64))
    return Normaliser(mean, scale, change)
