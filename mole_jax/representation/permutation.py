"""The symmetry of hidden units: permuting them leaves the network's function unchanged."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from scipy.optimize import linear_sum_assignment

from mole_jax.tasks.networks import Network


def permute(network: Network, flat: Any, orders: list[Any]) -> Any:
    """Reorder the hidden units of a network.

    Args:
        network: an MLP.
        flat: [D] parameters.
        orders: for each hidden layer a permutation [units]; new unit i is old unit order[i].

    Returns:
        [D] parameters of a network with the same function.
    """
    params = network.spec.unflatten(flat)
    params = {name: dict(layer) for name, layer in params.items()}
    names = [f"hidden_{i}" for i in range(len(orders))] + ["output"]
    for name, onward, order in zip(names[:-1], names[1:], orders, strict=True):
        params[name]["kernel"] = params[name]["kernel"][:, order]
        params[name]["bias"] = params[name]["bias"][order]
        params[onward]["kernel"] = params[onward]["kernel"][order, :]
    return network.spec.flatten(params)


def permute_outputs(network: Network, flat: Any, order: Any) -> Any:
    """Reorder the outputs of a network: new output i is old output order[i].

    With labels renamed alike (an example of old class order[i] now has label i) the loss stays.

    Args:
        network: an MLP.
        flat: [D] parameters.
        order: permutation [K].

    Returns:
        [D] parameters.
    """
    params = dict(network.spec.unflatten(flat))
    output = params["output"]
    params["output"] = {"kernel": output["kernel"][:, order], "bias": output["bias"][order]}
    return network.spec.flatten(params)


def random_orders(network: Network, key: jax.Array) -> list[jax.Array]:
    """A uniformly random permutation for every hidden layer."""
    hidden = network.widths[1:-1]
    return [
        jax.random.permutation(k, n)
        for k, n in zip(jax.random.split(key, len(hidden)), hidden, strict=True)
    ]


def neuron_vectors(network: Network, flat: np.ndarray) -> np.ndarray:
    """Per-unit vectors [in, bias, out] of the first hidden layer: [..., D] -> [..., H, F]."""
    params = network.spec.unflatten(flat)
    onward = "hidden_1" if len(network.widths) > 3 else "output"
    first = params["hidden_0"]
    return np.concatenate(
        [np.swapaxes(first["kernel"], -1, -2), first["bias"][..., None], params[onward]["kernel"]],
        axis=-1,
    )


def match(network: Network, flat: np.ndarray, reference: np.ndarray) -> list[np.ndarray]:
    """The permutations that bring `flat` closest to `reference` (Hungarian method).

    Exact for one hidden layer. With several, layers are matched in turn, each with the ones
    before it already aligned (Ainsworth et al. 2023 call this weight matching).

    Args:
        network: an MLP.
        flat: [D] the network to reorder.
        reference: [D].

    Returns:
        Orders for `permute`.
    """
    hidden = network.widths[1:-1]
    orders = [np.arange(n) for n in hidden]
    for _ in range(1 if len(hidden) == 1 else 5):
        for layer in range(len(hidden)):
            orders[layer] = np.arange(hidden[layer])
            cost = _cost(network, permute(network, flat, orders), reference, layer)
            orders[layer] = linear_sum_assignment(cost)[1]
    return orders


def _cost(network: Network, flat: np.ndarray, reference: np.ndarray, layer: int) -> np.ndarray:
    """Squared distances between the units of two networks: [H reference, H flat]."""
    onward = "output" if layer == len(network.widths) - 3 else f"hidden_{layer + 1}"
    a, b = (network.spec.unflatten(x) for x in (reference, flat))
    name = f"hidden_{layer}"
    va, vb = (
        np.concatenate([p[name]["kernel"].T, p[name]["bias"][:, None], p[onward]["kernel"]], axis=1)
        for p in (a, b)
    )
    return ((va[:, None] - vb[None]) ** 2).sum(-1)


def align(network: Network, flat: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """`flat` [D] with its hidden units in the order that best matches `reference` [D]."""
    return np.asarray(permute(network, flat, match(network, flat, reference)))


def distance(network: Network, a: np.ndarray, b: np.ndarray) -> float:
    """Euclidean distance between two networks modulo hidden-unit permutation."""
    return float(np.linalg.norm(align(network, a, b) - b))
