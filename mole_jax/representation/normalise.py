"""Per-tensor normalisation, fitted on the zoo's training runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import chex
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import OUTPUT, Network
from mole_jax.tasks.parameters import ParameterSpec

NORMALISERS = ("tensor", "global")
# Standard deviation of all parameters together, after `fit_global`.
GLOBAL_SPREAD = 0.538


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


class Moments(NamedTuple):
    """Sums over runs and snapshots for each parameter, float64 [D]; they add up block by block."""

    n_runs: int
    n_snapshots: int
    origin: np.ndarray  # the very first network: sums are of differences from it
    total: np.ndarray
    squares: np.ndarray
    moved: np.ndarray  # squares of how far each snapshot is from its run's first
    there: np.ndarray  # int64: how many runs have a nonzero last snapshot


def moments(blocks: Iterable[np.ndarray]) -> Moments:
    """Return the moments of finite runs, in one or more blocks [run, snapshot, D]."""
    found: Moments | None = None
    for block in blocks:
        n_runs, n_snapshots, size = block.shape
        if found is None:
            zeros = (*(np.zeros(size) for _ in range(3)), np.zeros(size, np.int64))
            found = Moments(0, n_snapshots, block[0, 0].astype(np.float64), *zeros)
        # Run by run, since a block in float64 would be twice as large.
        for run in block:
            apart = run - found.origin
            found.total[:] += apart.sum(axis=0)
            found.squares[:] += np.einsum("sd,sd->d", apart, apart)
            apart -= apart[0].copy()
            found.moved[:] += np.einsum("sd,sd->d", apart, apart)
            found.there[:] += run[-1] != 0
        found = found._replace(n_runs=found.n_runs + n_runs)
    if found is None:
        raise ValueError("there are no runs to take moments of")
    return found


def fit(spec: ParameterSpec, runs: np.ndarray | Moments) -> Normaliser:
    """Fit the mean and standard deviation of every tensor over runs, snapshots and its entries.

    `change` is the root mean square distance of a tensor's entries from where their run began.

    Args:
        spec: the layout.
        runs: [R, S, D], finite; or their moments.
    """
    m = _moments_of(spec, runs)
    mean = np.zeros(spec.size, np.float32)
    scale, change = np.ones_like(mean), np.zeros_like(mean)
    for field in spec.fields:
        at, n = field.slice, m.n_runs * m.n_snapshots * field.size
        each = m.origin[at] + m.total[at] / (m.n_runs * m.n_snapshots)  # mean of each entry
        middle = each.mean()
        spread = np.sqrt(_squares_around(m, middle, at).sum() / n)
        mean[at] = middle
        # A constant tensor (a bias kept at zero) keeps a scale of 1. Rounding alone can make its
        # standard deviation positive.
        if spread > np.finfo(np.float32).eps * abs(middle):
            scale[at] = spread
            after = n * (m.n_snapshots - 1) / m.n_snapshots  # without first snapshots
            change[at] = np.sqrt(m.moved[at].sum() / max(after, 1)) / spread
    return Normaliser(mean, scale, change)


def fit_sizes(spec: ParameterSpec, runs: np.ndarray | Moments) -> Normaliser:
    """Fit one scale, and no mean, to every tensor of networks of several sizes.

    Only parameters that a network has count; those that it lacks are zero, normalised or not.
    Arguments and `change` are as in `fit`.

    Raises:
        UserError: when all parameters of all networks are zero.
    """
    m = _moments_of(spec, runs)
    scale, change = np.ones(spec.size, np.float32), np.zeros(spec.size, np.float32)
    if not m.there.any():
        raise UserError("zoo: all parameters are zero, so they have no scale")
    for field in spec.fields:
        at = field.slice
        n = m.there[at].sum()  # entries of the tensor in one snapshot of all runs
        spread = np.sqrt(_squares_around(m, 0.0, at).sum() / max(n * m.n_snapshots, 1))
        if spread > 0:
            scale[at] = spread
            later = max(n * (m.n_snapshots - 1), 1)
            change[at] = np.sqrt(m.moved[at].sum() / later) / spread
    return Normaliser(np.zeros_like(scale), scale, change)


def fit_global(spec: ParameterSpec, runs: np.ndarray | Moments) -> Normaliser:
    """Fit one scale, and no mean, that gives all parameters a standard deviation of 0.538.

    G.pt does the same (Peebles et al. 2022). Arguments and `change` are as in `fit`.

    Raises:
        UserError: when all parameters of all networks are the same number.
    """
    m = _moments_of(spec, runs)
    n = m.n_runs * m.n_snapshots
    middle = (m.origin + m.total / n).mean()
    spread = np.sqrt(_squares_around(m, middle, slice(None)).sum() / (n * spec.size))
    if spread <= np.finfo(np.float32).eps * abs(middle):
        raise UserError("zoo: all parameters are the same number, so they have no scale")
    scale = np.full(spec.size, spread / GLOBAL_SPREAD, np.float32)
    change = np.zeros_like(scale)
    for field in spec.fields:
        after = n * (m.n_snapshots - 1) / m.n_snapshots * field.size  # without first snapshots
        moved = np.sqrt(m.moved[field.slice].sum() / max(after, 1))
        change[field.slice] = moved / scale[0]
    return Normaliser(np.zeros_like(scale), scale, change)


def fit_shared(network: Network, runs: np.ndarray | Moments, others: np.ndarray) -> Normaliser:
    """Fit a mean to every parameter and a scale to every tensor, for runs that share one start.

    Parameters of different outputs share a mean, so renaming labels leaves it unchanged. `change`
    is the root mean square distance of other initial networks from that mean.

    Args:
        network: the architecture of the runs.
        runs: [R, S, D], finite; or their moments.
        others: [n, D] initial networks like those that prompts will start from.
    """
    m = _moments_of(network.spec, runs)
    chex.assert_shape(others, (None, network.spec.size), custom_message="others [n, D]")
    mean = (m.origin + m.total / (m.n_runs * m.n_snapshots)).astype(np.float32)
    scale, change = np.ones_like(mean), np.zeros_like(mean)
    for field in network.spec.fields:
        at, axes = field.slice, network.axes[field.path]
        if OUTPUT in axes:
            tensor = mean[at].reshape(field.shape)
            tensor = tensor.mean(axis=axes.index(OUTPUT), keepdims=True)
            mean[at] = np.broadcast_to(tensor, field.shape).reshape(-1)
        n = m.n_runs * m.n_snapshots * field.size
        spread = np.sqrt(_squares_around(m, mean[at], at).sum() / n)
        if spread > np.finfo(np.float32).eps * np.abs(mean[at]).max():
            scale[at] = spread
            away = (others[:, at] - mean[at]) / np.float32(spread)
            change[at] = np.sqrt(np.mean(away**2, dtype=np.float64))
    return Normaliser(mean, scale, change)


def _moments_of(spec: ParameterSpec, runs: np.ndarray | Moments) -> Moments:
    """Return the moments of runs [R, S, D]; moments are passed through."""
    m = runs if isinstance(runs, Moments) else moments([runs])
    chex.assert_shape([*m[2:]], (spec.size,), custom_message="runs [R, S, D]")
    return m


def _squares_around(m: Moments, middle: Any, at: slice) -> np.ndarray:
    """Return sums of squared differences from `middle` for the parameters of a slice, 0 or more."""
    shift = middle - m.origin[at]
    n = m.n_runs * m.n_snapshots
    return np.maximum(m.squares[at] - 2 * shift * m.total[at] + n * shift**2, 0)
