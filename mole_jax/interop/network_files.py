"""Single networks as safetensors, with PyTorch's names and layouts, and a JSON card next to them.

NAME.safetensors   the tensors of a PyTorch module's state_dict
NAME.json          the card: which network it is, how the module computes, its metrics, where
                   it comes from
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

import mole_jax
from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import read_json, write_bytes, write_json
from mole_jax.core.storage.paths import user_path
from mole_jax.core.storage.tensors import read_tensors
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network, shorthand
from mole_jax.tasks.networks.state_dict import one_network
from mole_jax.tasks.networks.torch_layout import layout

FORMAT, VERSION = "mole-network", 1
SUFFIX = ".safetensors"


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkFile:
    """A network that was read, as MOLE uses it."""

    network: Network
    params: dict[str, Any]  # nested dict, MOLE's names and layouts
    card: dict[str, Any]  # empty if there is none


def save_network(
    path: str | Path,
    description: Mapping[str, Any],
    params: Mapping[str, Any],
    *,
    task: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    source: Mapping[str, Any] | None = None,
) -> None:
    """Write a network and its card; each file is either whole or absent.

    Args:
        path: ends in .safetensors.
        description: what `tasks.networks.from_json` builds the network from, such as
            `zoo.schema.network` or `shorthand.parse("mlp:64,8,5").to_json()`.
        params: its parameters, leaves [*shape].
        task: the data subset it is for.
        metrics: what is known of it.
        source: where it comes from.

    Raises:
        UserError: for another file name, or a network without a layout in PyTorch.
        ValueError: for parameters of another network.
    """
    path = user_path(path)
    if path.suffix != SUFFIX:
        raise UserError(f"{path} must end in {SUFFIX}")
    network = networks.from_json(description)
    tensors = layout(network).state_dict(np.asarray(network.spec.flatten(params)))
    card = {
        "format": FORMAT,
        "version": VERSION,
        "network": dict(description),
        "forward": forward(network, description),
        "state_dict": {name: list(tensor.shape) for name, tensor in tensors.items()},
        "parameters": network.spec.size,
        "task": dict(task or {}),
        "metrics": dict(metrics or {}),
        "source": dict(source or {}),
        "mole": mole_jax.__version__,
    }
    # Other programs recognise the layout by "pt".
    write_bytes(path, safetensors.numpy.save(tensors, metadata={"format": "pt"}))
    write_json(path.with_suffix(".json"), card)


def load_network(path: str | Path, network: str = "") -> NetworkFile:
    """Read a network of `save_network`, or any state_dict with the same names and layouts.

    Args:
        path: the .safetensors file; its card is the .json next to it.
        network: see `shorthand.parse`; needed if there is no card.

    Raises:
        UserError: for missing or damaged files, and tensors that are not the network's.
    """
    path = user_path(path)
    tensors, _ = read_tensors(path)
    file = path.with_suffix(".json")
    card = _card(file) if file.exists() else {}
    if network:
        described = shorthand.parse(network).network
    elif card:
        described = _described(file, card["network"])
    else:
        raise UserError(
            f"{path} has no card {file.name} next to it: say with --network what it is, such as "
            "mlp:64,8,5"
        )
    flat = layout(described).from_state_dict(tensors, str(path))
    flat = one_network(flat, str(path), "; import-zoo reads the files of a zoo")
    return NetworkFile(described, described.spec.unflatten(flat), card)


def forward(network: Network, description: Mapping[str, Any]) -> str:
    """Return how the PyTorch module computes, in one line, for a network that has a layout."""
    assert network.kind.torch is not None
    return network.kind.torch.forward(networks.config_of(description), network)


def _card(file: Path) -> dict[str, Any]:
    card = read_json(file)
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise UserError(f'{file} is not a card of a network: it does not say "format": "{FORMAT}"')
    if card.get("version") != VERSION or "network" not in card:
        raise UserError(
            f"{file} is a card of version {card.get('version')}, but this MOLE reads {VERSION}"
        )
    return card


def _described(file: Path, description: Any) -> Network:
    try:
        return networks.from_json(description)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: its network cannot be understood ({error!r})") from error
