"""Networks whose weights are learned: `init(key) -> params`, `apply(params, x) -> logits`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.tasks.parameters import ParameterSpec


@dataclasses.dataclass(frozen=True)
class Network:
    """A target network as pure functions over nested dicts."""

    name: str
    widths: tuple[int, ...]  # inputs, hidden units of each layer, outputs
    init: Callable[..., dict[str, Any]]  # (key) -> params
    apply: Callable[..., Any]  # (params, x [..., n_inputs]) -> logits [..., n_outputs]
    spec: ParameterSpec


def build(config: Mapping[str, Any], n_inputs: int, n_outputs: int) -> Network:
    """Build the network that `config.network` names.

    Raises:
        UserError: for an unknown name or impossible sizes.
    """
    name = config["name"]
    if name != "mlp":
        raise UserError(f"network.name={name!r} is unknown; there is 'mlp'")
    from mole_jax.tasks.networks import mlp

    return mlp.build(tuple(config["hidden"]), n_inputs, n_outputs, config["activation"])


def to_json(config: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """What `from_json` needs to build the network again, without its data."""
    return {**dict(config), "hidden": list(config["hidden"]), "widths": list(network.widths)}


def from_json(stored: Mapping[str, Any]) -> Network:
    """The network that a zoo's schema describes."""
    return build(stored, stored["widths"][0], stored["widths"][-1])
