"""Consecutive parameters of the whole network in each token, which may span two tensors.

Peebles et al. 2022 cut networks like this ("chunk"), in PyTorch's order. Nothing is fitted.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.representation import flat, vector
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.tokens import ProbeGradient
from mole_jax.representation.vector import InTokens
from mole_jax.representation.views import Pieces
from mole_jax.tasks.networks import Network


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["fitted"], meta_fields=["layout", "target"]
)
@dataclasses.dataclass(frozen=True, eq=False)
class Cut(InTokens):
    """Normalised parameters in PyTorch's order, cut into tokens: see `Representation`."""

    target: Network  # of D parameters

    @property
    def order(self) -> np.ndarray:
        """Flat indices of parameters as they stand in the vector: [D]."""
        return flat.order(self.target)

    @property
    def change(self) -> jax.Array:
        return self.encode(self.fitted.normaliser.change)

    def check(self) -> None:
        shape = (self.target.spec.size,)
        chex.assert_tree_shape(self.fitted.normaliser, shape, custom_message="normaliser [D]")

    def encode(self, normalised: Any) -> jax.Array:
        chex.assert_axis_dimension(
            normalised, -1, self.target.spec.size, custom_message="flat [..., D]"
        )
        return self.cut(jnp.asarray(normalised)[..., self.order])

    def parameters(self, tokens: Any) -> jax.Array:
        return self.denormalise(self.uncut(tokens)[..., np.argsort(self.order)])

    def network(self, pieces: Pieces) -> dict[str, Any]:
        return self.target.spec.unflatten(self.parameters(self.join(pieces)))

    def pull_back(self, gradient: Mapping[str, Any], pieces: Pieces) -> ProbeGradient:
        """Map a gradient to tokens; directions are normalised per token."""
        down = -self.target.spec.flatten(gradient) * self.fitted.normaliser.scale[None]
        return self.downhill(self.encode(down))


def build(settings: Mapping[str, Any], network: Network, fitted: Fitted) -> Cut:
    """Return the representation: tokens of `chunk_size` parameters each.

    Raises:
        UserError: for a chunk size below 1.
    """
    outputs = network.output_of[flat.order(network)]
    found = vector.layout("network", network.spec.size, settings["chunk_size"], outputs)
    return Cut(found, fitted, network)


def shapes(settings: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """Return no shapes."""
    return {}


def fit(
    settings: Mapping[str, Any],
    network: Network,
    networks: np.ndarray,
    starts: np.ndarray | None,
) -> tuple[dict[str, np.ndarray], str]:
    """Fit nothing, with nothing for the log."""
    return {}, ""
