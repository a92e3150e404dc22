"""The network that a caller asks for: one of several that a model has room for, or its only one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network, shorthand, sizes


def name(
    network: Network, description: Mapping[str, Any], asked: Any, start: Any, n_outputs: int
) -> str:
    """Return the frame's name for the requested network; "" without a frame.

    Args:
        network: the network that the model writes, or the frame that holds several.
        description: its description.
        asked: the request, such as "mlp:64,24,5" or "vit"; None: the only one, that of the start,
            or the largest in training.
        start: the network to begin with, if known; else None.
        n_outputs: the classes of the task.

    Raises:
        UserError: for a network that the model does not write.
    """
    frame = network.frame
    if asked is not None and not isinstance(asked, str):
        raise UserError(f"network must be a text, such as 'mlp:64,24,5', not {asked!r}")
    if frame is None:
        if asked is not None:
            _check_only(networks.from_json({**description, "outputs": n_outputs}), asked)
        return ""
    if asked is None:
        return frame.largest if start is None else _name_of(start)
    found = _hidden(network, asked, n_outputs) if ":" in asked else asked
    if found not in frame.kinds and not found[:1].isdigit():
        raise UserError(
            f"network={asked!r}: this model writes no such network: {_usage(network, n_outputs)}"
        )
    try:
        frame.sizes(found)
    except UserError as problem:
        raise UserError(f"network={asked!r}: {problem}") from None
    return found


def check_start(network: Network, own: Network, flat: jax.Array) -> None:
    """Check that starts [n, D] have all units of a task's own network; absent ones would be lost.

    Raises:
        UserError: where all weights into a unit are zero.
    """
    if network.frame is None:
        return
    wanted = np.zeros(network.spec.size, bool)
    wanted[network.frame.places(network, own)] = True
    outputs = network.output_of < own.n_outputs
    if ((np.asarray(sizes.there(network, flat)) != wanted) & outputs).any():
        raise UserError(
            "start: all weights into one of its units are zero, so the model would take that unit "
            "for absent: give it other weights, or ask for a network without it"
        )


def described(
    network: Network, description: Mapping[str, Any], name: str, n_outputs: int
) -> dict[str, Any]:
    """Return the description of a network of this name, as `tasks.networks.from_json` takes it."""
    if network.frame is None:
        return {**description, "outputs": n_outputs}
    own = network.frame.plain(name)
    return {**own, "input_shape": description["input_shape"], "outputs": n_outputs}


def _hidden(network: Network, text: str, n_outputs: int) -> str:
    usage = _usage(network, n_outputs)
    if text.partition(":")[0] != "mlp":
        raise UserError(f"network={text!r}: this model writes no such network: {usage}")
    found = shorthand.parse(text)
    ends = (found.network.n_inputs, found.network.n_outputs)
    if ends != (network.n_inputs, n_outputs):
        raise UserError(
            f"network={text!r}: this task has {network.n_inputs} inputs and {n_outputs} classes: "
            f"{usage}"
        )
    return _name_of(found.network)


def _name_of(own: Network) -> str:
    if own.name != "mlp":
        return own.name
    return "-".join(str(own.sizes[layer]) for (layer,) in own.units)


def _usage(network: Network, n_outputs: int) -> str:
    assert network.frame is not None
    kinds = "".join(f", or {kind!r}" for kind in network.frame.kinds)
    return f"ask for mlp:{network.n_inputs},HIDDEN,...,{n_outputs}{kinds}"


def _check_only(own: Network, text: str) -> None:
    """Raise UserError unless a text describes the model's only network."""
    if text == own.name:
        return
    found = shorthand.parse(text).network
    ours, theirs = ([(f.path, f.shape) for f in n.spec.fields] for n in (own, found))
    if (found.name, theirs) != (own.name, ours):
        raise UserError(f"network={text!r}: this model writes only one network: leave network out")
