"""The network that a caller asks for: one of several that a model has room for, or its only one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network, shorthand


def name(network: Network, description: Mapping[str, Any], text: str | None, n_outputs: int) -> str:
    """Return the name that a frame has for the network which is asked for; "" without a frame.

    Args:
        network: that the model writes, or the frame in which it writes several.
        description: of it.
        text: what is asked for, such as "mlp:64,24,5" or "vit"; None: the only one, or the largest
            that was trained on.
        n_outputs: the classes of the task.

    Raises:
        UserError: for a network that the model does not write.
    """
    frame = network.frame
    if frame is None:
        if text is not None:
            _check_only(networks.from_json({**description, "outputs": n_outputs}), text)
        return ""
    if text is None:
        return frame.largest
    found = _hidden(network, text, n_outputs) if ":" in text else text
    try:
        frame.sizes(found)
    except UserError as problem:
        raise UserError(f"network={text!r}: {problem}") from None
    return found


def described(
    network: Network, description: Mapping[str, Any], name: str, n_outputs: int
) -> dict[str, Any]:
    """Return the description of a network of this name, as `tasks.networks.from_json` takes it."""
    if network.frame is None:
        return {**description, "outputs": n_outputs}
    own = network.frame.plain(name)
    return {**own, "input_shape": description["input_shape"], "outputs": n_outputs}


def _hidden(network: Network, text: str, n_outputs: int) -> str:
    found = shorthand.parse(text)
    usage = f"mlp:{network.n_inputs},HIDDEN,...,{n_outputs}"
    if found.network.name != "mlp":
        raise UserError(f"network={text!r}: of sizes, this model knows those of MLPs: {usage}")
    ends = (found.network.n_inputs, found.network.n_outputs)
    if ends != (network.n_inputs, n_outputs):
        raise UserError(
            f"network={text!r}: this task has {network.n_inputs} inputs and {n_outputs} classes; "
            f"ask for {usage}"
        )
    return "-".join(map(str, found.config["hidden"]))


def _check_only(own: Network, text: str) -> None:
    """Raise UserError where a text is not of the only network that there is."""
    if text == own.name:
        return
    found = shorthand.parse(text).network
    ours, theirs = ([(f.path, f.shape) for f in n.spec.fields] for n in (own, found))
    if (found.name, theirs) != (own.name, ours):
        raise UserError(f"network={text!r}: this model writes one network alone: leave network out")
