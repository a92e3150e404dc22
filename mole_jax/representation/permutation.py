"""The symmetry of units: letting them change places leaves the network's function unchanged."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.tasks.networks import OUTPUT, Network
from mole_jax.tasks.networks.symmetries import Permutation

# Several axes are matched in turn, each with the current orders of the others: at most this many
# rounds, fewer once nothing changes.
ROUNDS = 20


def permute(network: Network, flat: Any, orders: list[Any]) -> Any:
    """Reorder the units of a network.

    Args:
        network: the network.
        flat: [D] parameters.
        orders: for each of `network.permutations` a permutation [n] that it allows; new unit i is
            old unit order[i].

    Returns:
        [D] parameters of a network with the same function.
    """
    axes = [symmetry.axis for symmetry in network.permutations]
    shapes = [(network.spec.size,), *((network.sizes[axis],) for axis in axes)]
    chex.assert_shape([flat, *orders], shapes, custom_message="flat [D], an order [n] of each axis")
    return _reorder(network, flat, dict(zip(axes, orders, strict=True)))


def permute_outputs(network: Network, flat: Any, order: Any) -> Any:
    """Reorder the outputs of a network: new output i is old output order[i].

    The loss stays the same if labels are renamed alike: examples of old class order[i] get label i.

    Args:
        network: the network.
        flat: [D] parameters.
        order: permutation [K].

    Returns:
        [D] parameters.
    """
    shapes = [(network.spec.size,), (network.n_outputs,)]
    chex.assert_shape([flat, order], shapes, custom_message="flat [D], order [K]")
    return _reorder(network, flat, {OUTPUT: order})


def _reorder(network: Network, flat: Any, orders: dict[str, Any]) -> Any:
    parts = []
    for field in network.spec.fields:
        tensor = flat[field.slice].reshape(field.shape)
        for place, axis in enumerate(network.axes[field.path]):
            if axis in orders:
                tensor = tensor[(slice(None),) * place + (orders[axis],)]
        parts.append(tensor.reshape(-1))
    return flat.__array_namespace__().concatenate(parts)


def random_orders(network: Network, key: jax.Array) -> list[jax.Array]:
    """Draw one of the allowed permutations for every axis, uniformly."""
    found = []
    for symmetry, k in zip(
        network.permutations, jax.random.split(key, len(network.permutations)), strict=True
    ):
        n = network.sizes[symmetry.axis]
        block_key, within_key = jax.random.split(k)
        blocks = jax.random.permutation(block_key, symmetry.blocks)
        rows = jnp.arange(n).reshape(symmetry.blocks, -1)[blocks]
        found.append(jax.random.permutation(within_key, rows, axis=1, independent=True).reshape(-1))
    return found


def match(network: Network, flat: np.ndarray, reference: np.ndarray) -> list[np.ndarray]:
    """Return the permutations that bring `flat` closest to `reference` (Hungarian method).

    Exact for one axis. Several are matched in turn, each with the current orders of the others,
    until nothing changes: weight matching (Ainsworth et al. 2023), a local optimum. In a frame of
    several sizes, units that the network lacks stay where they are, behind its own.

    Args:
        network: the network.
        flat: [D] the network to reorder.
        reference: [D].

    Returns:
        Orders for `permute`.
    """
    chex.assert_shape([flat, reference], (network.spec.size,), custom_message="flat, reference [D]")
    symmetries = network.permutations
    orders = [np.arange(network.sizes[symmetry.axis]) for symmetry in symmetries]
    for _ in range(1 if len(symmetries) == 1 else ROUNDS):
        before = [order.copy() for order in orders]
        for i, symmetry in enumerate(symmetries):
            orders[i] = np.arange(len(orders[i]))
            others = flat
            if len(symmetries) > 1:
                moved = {s.axis: order for s, order in zip(symmetries, orders, strict=True)}
                others = _reorder(network, flat, moved)
            n = _present(network, flat, symmetry.axis)
            gain = _gain(network, others, reference, symmetry.axis)[:n, :n]
            orders[i][:n] = _assign(symmetry, gain)
        if all(np.array_equal(a, b) for a, b in zip(before, orders, strict=True)):
            break
    return orders


def _present(network: Network, flat: np.ndarray, axis: str) -> int:
    """Return how many units of a network are along an axis; those that a frame lacks come last."""
    n = network.sizes[axis]
    if network.frame is None:
        return n
    there = np.zeros(n, bool)
    for field in network.spec.fields:
        axes = network.axes[field.path]
        if axis in axes:
            tensor = np.moveaxis(flat[field.slice].reshape(field.shape), axes.index(axis), 0)
            there |= (tensor.reshape(n, -1) != 0).any(axis=1)
    return int(np.flatnonzero(there).max(initial=-1)) + 1


def _gain(network: Network, flat: np.ndarray, reference: np.ndarray, axis: str) -> np.ndarray:
    """Inner products of the units of two networks along an axis: [n reference, n flat].

    The squared distance of two networks is least where the sum of these is largest.
    """
    n = network.sizes[axis]
    gain = np.zeros((n, n))
    for field in network.spec.fields:
        axes = network.axes[field.path]
        if axis in axes:
            a, b = (
                np.moveaxis(x[field.slice].reshape(field.shape), axes.index(axis), 0).reshape(n, -1)
                for x in (reference, flat)
            )
            gain += a.astype(np.float64) @ b.T.astype(np.float64)
    return gain


def _assign(symmetry: Permutation, gain: np.ndarray) -> np.ndarray:
    """Return the allowed order with the largest sum of gains: [n]."""
    from scipy.optimize import linear_sum_assignment  # here: prediction does not need it

    if symmetry.blocks == 1:
        return linear_sum_assignment(gain, maximize=True)[1]
    g, size = symmetry.blocks, len(gain) // symmetry.blocks
    parts = gain.reshape(g, size, g, size).swapaxes(1, 2)  # [g, g, size, size]
    within = np.array([[linear_sum_assignment(p, maximize=True)[1] for p in row] for row in parts])
    total = np.take_along_axis(parts, within[..., None], axis=3).sum((2, 3))  # [g, g]
    blocks = linear_sum_assignment(total, maximize=True)[1]
    return np.concatenate([within[i, b] + b * size for i, b in enumerate(blocks)])
