"""Representations: parameters <-> tokens, normalisation, and the symmetries of networks.

The seam is `tokens.Representation`. To add one:

    a table, in which each parameter has its place            a file here that builds a Codec, and a
                                                              line of CODECS
    a latent, fitted to the zoo's training networks           a file here like `pca.py`, and a line
                                                              of LATENTS

Its own keys are fields of `representation_config.py` and lines of `core/compat.py`. A latent fits
a dict of arrays, which training stores with the learner under their names.
tests/representation/test_every_representation.py tests everything in NAMES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.core.unknown import unknown
from mole_jax.representation import (
    alignment,
    autoencoder,
    chunk,
    cut,
    flat,
    neuron,
    pca,
    weight,
)
from mole_jax.representation.codec import Codec
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import NORMALISERS, Normaliser
from mole_jax.representation.tabulated import Tabulated
from mole_jax.representation.tokens import Representation
from mole_jax.tasks.networks import Network


class Latent(Protocol):
    """A module that fits a latent; see `pca.py` for what the functions take and return."""

    def build(
        self, settings: Mapping[str, Any], network: Network, fitted: Fitted
    ) -> Representation: ...

    def shapes(self, settings: Mapping[str, Any], network: Network) -> dict[str, Any]: ...

    def fit(
        self,
        settings: Mapping[str, Any],
        network: Network,
        networks: np.ndarray,
        starts: np.ndarray | None,
    ) -> tuple[dict[str, np.ndarray], str]: ...


# (network, representation.chunk_size, canonical_order) -> codec
CODECS: dict[str, Callable[[Network, int, bool], Codec]] = {
    "neuron": lambda network, size, canonical_order: neuron.build(network, canonical_order),
    "chunk": lambda network, size, canonical_order: chunk.build(network, size),
    "flat": lambda network, size, canonical_order: flat.build(network),
    "weight": lambda network, size, canonical_order: weight.build(network, canonical_order),
}
LATENTS: dict[str, Latent] = {"cut": cut, "pca": pca, "autoencoder": autoencoder}
NAMES = (*CODECS, *LATENTS)


def codec(name: str, network: Network, *, chunk_size: int, canonical_order: bool = False) -> Codec:
    """Return the codec with this name.

    With `canonical_order` all networks have their units in the same order, and each token has a
    position.

    Raises:
        UserError: for an unknown name or a chunk size below 1.
    """
    if name not in CODECS:
        raise unknown("representation.name", name, NAMES)
    return CODECS[name](network, chunk_size, canonical_order)


def build(config: Mapping[str, Any], network: Network, fitted: Fitted) -> Representation:
    """Return the representation that a config names.

    Args:
        config: the experiment.
        network: whose parameters become tokens.
        fitted: what was fitted to the zoo's training networks, or its `shapes`.

    Raises:
        UserError: for invalid values in `representation`.
    """
    settings, shared = config["representation"], one_basis(config)
    name, kind = settings["name"], compat.get(config, "representation.normaliser")
    if kind not in NORMALISERS:
        raise UserError(f"representation.normaliser={kind!r} is unknown; there are {NORMALISERS}")
    if kind == "global" and shared:
        raise UserError(
            "representation.normaliser='global' keeps no mean, but the runs of "
            "population.shared_start or representation.align lie around one: set it to 'tensor'"
        )
    if network.frame is not None and (why := _no_frame(config, network)):
        raise UserError(
            f"network.name={network.name!r} has networks of several sizes, where absent parameters "
            f"are zero, and {why}"
        )
    if name in LATENTS:
        return LATENTS[name].build(settings, network, fitted)
    found = codec(name, network, chunk_size=settings["chunk_size"], canonical_order=shared)
    return Tabulated(fitted, found)


def _no_frame(config: Mapping[str, Any], network: Network) -> str:
    """Say why a representation does not keep zeros, and the remedy; "" where it does."""
    name = config["representation"]["name"]
    if name in LATENTS:
        return f"representation.name={name!r} does not keep zeros: set it to 'neuron'"
    if compat.get(config, "representation.normaliser") == "global":
        return "representation.normaliser='global' is not for several sizes: set it to 'tensor'"
    if config["population"]["shared_start"]:
        return "population.shared_start keeps a mean of every parameter: set it to False"
    if compat.get(config, "representation.align") and network.rotations:
        return "representation.align is not for attention among them: set it to False"
    return ""


# The network that training runs were matched to, among what is fitted for a table.
BASIS = "basis"


def one_basis(config: Mapping[str, Any]) -> bool:
    """Return whether a unit's index means the same in all training runs.

    It does where the runs share one start, or were brought into one basis afterwards.
    """
    align = compat.get(config, "representation.align")
    return bool(config["population"]["shared_start"] or align)


def in_basis(
    config: Mapping[str, Any], network: Network, fitted: Fitted, flat: np.ndarray
) -> np.ndarray:
    """Return networks [N, D] in the basis that a learner was trained in.

    With `representation.align` a trained network that comes from outside has its units in an order
    of its own, which means nothing to the learner: they are brought into that of the training runs.
    Its function stays the same. Otherwise the networks are returned as they are.
    """
    if not compat.get(config, "representation.align"):
        return flat
    middle = np.asarray(fitted.arrays.get(BASIS, fitted.normaliser.mean), np.float64)
    return np.stack([alignment.align(network, np.asarray(own), middle) for own in flat])


def latent(config: Mapping[str, Any]) -> Latent | None:
    """Return the module that fits a config's representation to networks; None for a table."""
    return LATENTS.get(config["representation"]["name"])


def shapes(config: Mapping[str, Any], network: Network) -> Fitted:
    """Return what will be fitted, as shapes: enough to build a learner."""
    each = jax.ShapeDtypeStruct((network.spec.size,), np.float32)
    kind = latent(config)
    if kind is not None:
        arrays = kind.shapes(config["representation"], network)
    else:
        arrays = {BASIS: each} if compat.get(config, "representation.align") else {}
    return Fitted(Normaliser(each, each, each), arrays)
