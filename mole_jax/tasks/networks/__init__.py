"""Networks whose weights are learned: `init(key) -> params`, `apply(params, x) -> logits`.

A network is one file and one line of KINDS below. The file has the keys of its config with their
defaults, its module, and a `NetworkKind`: the record that everything else asks of it. A network
names every axis of every tensor. From these names alone follow its tokens
(`representation/neuron.py`) and what its symmetries do to its parameters
(`representation/permutation.py`).

Networks that are not in this folder are added by `register`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mole_jax.core import registered
from mole_jax.core.errors import UserError
from mole_jax.core.unknown import unknown
from mole_jax.tasks.networks import added, cnn, initial, mlp, mlps, policy, several, vit
from mole_jax.tasks.networks.network import OUTPUT, Network, NetworkKind, Outputs, of_module
from mole_jax.tasks.networks.symmetries import Permutation, Rotation

__all__ = [
    "CLASSIFIERS",
    "CONFIGS",
    "KINDS",
    "NAMES",
    "OUTPUT",
    "POLICIES",
    "Network",
    "NetworkKind",
    "Outputs",
    "Permutation",
    "Rotation",
    "of_module",
    "register",
]

KINDS: dict[str, NetworkKind] = {
    kind.name: kind
    for kind in (
        mlp.NETWORK,
        cnn.NETWORK,
        vit.NETWORK,
        policy.GAUSSIAN,
        policy.CATEGORICAL,
        mlps.NETWORK,
        several.NETWORK,
    )
}
CONFIGS: dict[str, type[Any]] = {name: kind.config for name, kind in KINDS.items()}
# Lists, since `register` changes them.
NAMES = list(KINDS)
CLASSIFIERS = [name for name, kind in KINDS.items() if kind.classifies]
POLICIES = [name for name, kind in KINDS.items() if not kind.classifies]
_ADDED = registered.Names("network.name")

# Keys that were added later, with the value of older networks: left out at that value.
_LATER = {"init": initial.DEFAULT, "cells": 1}
# Keys that a stored description may lack: these, and what its `outputs` imply.
_NOT_STORED = (*_LATER, "choices")


def register(kind: NetworkKind) -> None:
    """Add a network, which `config.network.name` can choose from now on.

    The file that has registered a name may do so again, and then the later kind counts.

    Raises:
        UserError: for a name that MOLE or another file has, and for anything but a network.
    """
    added.check_kind(kind)
    _ADDED.take(kind.name, kind.config.__module__, KINDS)
    KINDS[kind.name] = kind
    CONFIGS[kind.name] = kind.config
    NAMES[:] = KINDS
    CLASSIFIERS[:] = [name for name, known in KINDS.items() if known.classifies]
    POLICIES[:] = [name for name, known in KINDS.items() if not known.classifies]


def kind_of(section: Mapping[str, Any]) -> NetworkKind:
    """Return the kind of network that the section `config.network` names.

    Raises:
        UserError: for an unknown name.
    """
    if section["name"] not in KINDS:
        raise UserError(
            f"{unknown('network.name', section['name'], KINDS)}; one of yours is known when the "
            "file that registers it has run"
        )
    return KINDS[section["name"]]


def config_of(section: Mapping[str, Any]) -> Any:
    """Return the network's own keys of the section `config.network`, as its kind's dataclass.

    Keys of other networks are ignored, and a missing key has its default.

    Raises:
        UserError: for an unknown name of a network.
    """
    config = kind_of(section).config
    own = [field.name for field in dataclasses.fields(config) if field.name in section]
    return config(**{key: _plain(section[key]) for key in own})


def build(section: Mapping[str, Any], input_shape: tuple[int, ...], n_outputs: int) -> Network:
    """Return the network that the section `config.network` names.

    Args:
        section: `name`, and the keys of that network; see `config_of`.
        input_shape: of an image, [H, W, channels]; an MLP takes any shape, a policy (O,).
        n_outputs: K classes, or what a policy puts out.

    Raises:
        UserError: for an unknown name or impossible sizes.
    """
    kind = kind_of(section)
    network = kind.build(config_of(section), input_shape, n_outputs)
    if kind.name in _ADDED:
        added.check_network(network)
    return network


def to_json(section: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """Return what `from_json` needs to build the network again, without its data."""
    own = dataclasses.asdict(config_of(section))
    # Also the keys that the section lacks: their defaults may change one day.
    whole = {**section, **{key: own[key] for key in own if key not in section}}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in whole.items()}
    plain = {k: v for k, v in plain.items() if k not in _LATER or v != _LATER[k]}
    return {**plain, "input_shape": list(network.input_shape), "outputs": network.n_outputs}


def from_json(stored: Mapping[str, Any]) -> Network:
    """Return the network that a zoo's schema describes.

    Raises:
        UserError: for an unknown name or impossible sizes.
        KeyError: for a missing key.
    """
    for field in dataclasses.fields(kind_of(stored).config):
        if field.name not in (*stored, *_NOT_STORED):
            raise KeyError(field.name)
    return build(stored, tuple(stored["input_shape"]), stored["outputs"])


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value
