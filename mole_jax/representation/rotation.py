"""The symmetry of bases: turning the dimensions inside attention heads changes no function."""

from __future__ import annotations

from typing import Any

import chex
import jax
import numpy as np

from mole_jax.tasks.networks import Network
from mole_jax.tasks.networks.symmetries import Rotation


def rotate(network: Network, flat: Any, turns: list[Any]) -> Any:
    """Turn the bases of a network.

    Args:
        network: the network.
        flat: [D] parameters.
        turns: for each of `network.rotations` orthogonal matrices [m, n, n], one for each index
            along `each`; new dimension j is the sum over old i of turn[i, j] times dimension i.

    Returns:
        [D] parameters of a network with the same function.
    """
    sizes = [(network.sizes[s.each], *(network.sizes[s.axis],) * 2) for s in network.rotations]
    chex.assert_shape(
        [flat, *turns],
        [(network.spec.size,), *sizes],
        custom_message="flat [D], turns [m, n, n]",
    )
    # NumPy stays NumPy: matching turns thousands of networks one by one, and outside of jit each
    # operation of JAX takes longer to start than to compute.
    xp = flat.__array_namespace__()
    parts = []
    for field in network.spec.fields:
        tensor = flat[field.slice].reshape(field.shape)
        axes = network.axes[field.path]
        for symmetry, turn in zip(network.rotations, turns, strict=True):
            if symmetry.axis in axes:
                places = (axes.index(symmetry.each), axes.index(symmetry.axis))
                front = xp.moveaxis(tensor, places, (0, 1))
                turned = xp.einsum("mi...,mij->mj...", front, xp.asarray(turn, dtype=flat.dtype))
                tensor = xp.moveaxis(turned, (0, 1), places)
        parts.append(tensor.reshape(-1))
    return xp.concatenate(parts)


def random_turns(network: Network, key: jax.Array) -> list[jax.Array]:
    """Draw uniformly random orthogonal matrices [m, n, n] for every rotation."""
    keys = jax.random.split(key, max(len(network.rotations), 1))
    return [
        jax.random.orthogonal(k, network.sizes[s.axis], (network.sizes[s.each],))
        for s, k in zip(network.rotations, keys, strict=False)
    ]


def match(network: Network, flat: np.ndarray, reference: np.ndarray) -> list[np.ndarray]:
    """Return the turns that bring `flat` closest to `reference`, exactly (Schönemann 1966)."""
    turns = []
    for symmetry in network.rotations:
        a, b = (_stacked(network, x, symmetry) for x in (flat, reference))  # [m, n, F]
        u, _, vt = np.linalg.svd(a @ b.swapaxes(1, 2))
        turns.append(u @ vt)
    return turns


def _stacked(network: Network, flat: np.ndarray, symmetry: Rotation) -> np.ndarray:
    m, n = network.sizes[symmetry.each], network.sizes[symmetry.axis]
    parts = []
    for field in network.spec.fields:
        axes = network.axes[field.path]
        if symmetry.axis in axes:
            places = (axes.index(symmetry.each), axes.index(symmetry.axis))
            tensor = flat[field.slice].reshape(field.shape)
            parts.append(np.moveaxis(tensor, places, (0, 1)).reshape(m, n, -1))
    return np.concatenate(parts, axis=2).astype(np.float64)
