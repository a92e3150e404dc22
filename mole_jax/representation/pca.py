"""A latent of a network: its coordinates along the principal components of the zoo's networks.

It is lossy: what lies outside the components' span is lost, and no answer leaves that span.
Hotelling 1933. A learned latent (Schürholt et al. 2022, Hyper-Representations as Generative Models)
could take its place.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.representation import vector
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.tokens import ProbeGradient
from mole_jax.representation.vector import InTokens
from mole_jax.representation.views import Pieces
from mole_jax.tasks.networks import Network
from mole_jax.tasks.parameters import ParameterSpec

# Components of less than this share of the first one's variance are rounding errors.
_SMALLEST_SHARE = 1e-10
# Numbers in one float64 block while the covariance is summed.
_BLOCK = 2**23


class Basis(NamedTuple):
    """Principal components of normalised parameters; `Fitted.arrays` has these names."""

    mean: Any  # [D]
    components: Any  # [k, D] orthonormal rows, largest variance first
    scale: Any  # [k] the training networks' standard deviation along each
    change: Any  # [k] how far later snapshots are from the first, in units of `scale`


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["fitted"], meta_fields=["layout", "spec"]
)
@dataclasses.dataclass(frozen=True, eq=False)
class PrincipalComponents(InTokens):
    """Whitened coordinates, cut into tokens: see `Representation`."""

    spec: ParameterSpec  # of D parameters

    @property
    def _basis(self) -> Basis:
        return Basis(**self.fitted.arrays)

    @property
    def change(self) -> jax.Array:
        return self.cut(jnp.asarray(self._basis.change))

    def check(self) -> None:
        dims = chex.Dimensions(D=self.spec.size, K=self.size)
        normaliser, basis = self.fitted.normaliser, self._basis
        chex.assert_tree_shape(normaliser, dims["D"], custom_message="normaliser [D]")
        shapes = [dims["D"], dims["KD"], dims["K"], dims["K"]]
        chex.assert_shape([*basis], shapes, custom_message="principal components [k, D]")

    def encode(self, normalised: Any) -> jax.Array:
        """Project normalised parameters [..., D] to tokens [..., L, C]."""
        chex.assert_axis_dimension(normalised, -1, self.spec.size, custom_message="flat [..., D]")
        apart = normalised - jnp.broadcast_to(self._basis.mean, normalised.shape)
        along = self._along(apart)
        return self.cut(along / jnp.broadcast_to(self._basis.scale, along.shape))

    def parameters(self, tokens: Any) -> jax.Array:
        basis, latent = self._basis, self.uncut(tokens)
        along = latent * jnp.broadcast_to(basis.scale, latent.shape)
        # Accelerators would round factors to fewer bits.
        apart = jnp.matmul(along, basis.components, precision=jax.lax.Precision.HIGHEST)
        return self.denormalise(apart + jnp.broadcast_to(basis.mean, apart.shape))

    def network(self, pieces: Pieces) -> dict[str, Any]:
        return self.spec.unflatten(self.parameters(self.join(pieces)))

    def pull_back(self, gradient: Mapping[str, Any], pieces: Pieces) -> ProbeGradient:
        """Map a gradient to tokens; directions are normalised per token."""
        down = -self.spec.flatten(gradient) * self.fitted.normaliser.scale[None]
        return self.downhill(self.cut(self._along(down) * self._basis.scale[None]))

    def _along(self, flat: jax.Array) -> jax.Array:  # [..., D] -> [..., k]
        components = self._basis.components
        return jnp.matmul(flat, components.T, precision=jax.lax.Precision.HIGHEST)


def build(settings: Mapping[str, Any], network: Network, fitted: Fitted) -> PrincipalComponents:
    """Return the latent of a config's section: tokens of `chunk_size` coordinates each.

    Raises:
        UserError: for an invalid number of components or chunk size.
    """
    size, width = network.spec.size, settings["chunk_size"]
    k = compat.get_from(settings, "representation", "components")
    if not 1 <= k <= size:
        raise UserError(
            f"representation.components={k} must lie in 1..{size}, the parameters of a network"
        )
    found = vector.layout("latent", k, width)
    return PrincipalComponents(found, fitted, network.spec)


def shapes(settings: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """Return the fitted arrays as shapes."""
    size = network.spec.size
    k = compat.get_from(settings, "representation", "components")
    found = Basis((size,), (k, size), (k,), (k,))
    return {name: jax.ShapeDtypeStruct(x, np.float32) for name, x in found._asdict().items()}


def fit(
    settings: Mapping[str, Any],
    network: Network,
    networks: np.ndarray,
    starts: np.ndarray | None,
) -> tuple[dict[str, np.ndarray], str]:
    """Find the principal components of training networks.

    They come from the covariance of parameters or, with fewer networks than parameters, from the
    Gram matrix of networks (Sirovich 1987). That matrix has min(n, D)^2 float64 numbers.

    Args:
        settings: the section of a config.
        network: their architecture.
        networks: [R, S, D] normalised snapshots of runs, each run's first one first.
        starts: [n, D] normalised networks that prompts will start from, where these are not the
            runs' first snapshots.

    Returns:
        The arrays of a `Basis`, and a line for the log.

    Raises:
        UserError: where the networks differ in fewer directions than there are components.
    """
    k = compat.get_from(settings, "representation", "components")
    rows = networks.reshape(-1, networks.shape[-1])
    mean = rows.mean(axis=0, dtype=np.float64)
    components, shares = _principal(rows, mean, k)
    if len(components) < k:
        raise UserError(
            f"representation.components={k}: the {len(rows)} sampled training networks differ in "
            f"only {len(components)} directions; set it to {len(components)} or less"
        )
    mean, components = mean.astype(np.float32), components.astype(np.float32)

    def along(flat: np.ndarray) -> np.ndarray:
        return np.asarray(flat @ components.T - mean @ components.T, np.float64)

    latent = along(networks)  # [R, S, k]
    scale = np.sqrt(np.mean(latent**2, axis=(0, 1)))
    away = latent[:, 1:] - latent[:, :1] if starts is None else along(starts)[None]
    change = np.sqrt(np.mean(away**2, axis=(0, 1))) / scale
    found = Basis(mean, components, scale, change)
    arrays = {name: np.asarray(x, np.float32) for name, x in found._asdict().items()}
    return arrays, f"{k} principal components of {len(rows)} networks hold {shares:.1%} of variance"


def _principal(rows: np.ndarray, mean: np.ndarray, most: int) -> tuple[np.ndarray, float]:
    """Return up to `most` components [k, D] of rows [n, D], and the share of variance they hold."""
    n, size = rows.shape
    few = n < size
    side = min(n, size)
    products = np.zeros((side, side))
    for at in _blocks(max(n, size), side):
        part = rows[:, at] - mean[at] if few else (rows[at] - mean).T  # [side, block]
        products += part @ part.T
    values, vectors = np.linalg.eigh(products)
    order = np.argsort(values)[::-1]
    kept = order[: min(most, int(np.sum(values > _SMALLEST_SHARE * values.max())))]
    found = vectors[:, kept].T
    if few:
        blocks = [found @ (rows[:, at] - mean[at]) for at in _blocks(size, n)]
        found = np.concatenate(blocks, axis=1)
    # Rounding leaves much of the first components in the last ones.
    orthonormal, _ = np.linalg.qr(found.T)
    return orthonormal.T, float(values[kept].sum() / values.sum())


def _blocks(length: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK // width)
    return (slice(start, start + step) for start in range(0, length, step))
