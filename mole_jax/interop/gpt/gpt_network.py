"""Which network a G.pt model writes: found from the names and sizes of its tensors, or given."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.interop.gpt.gpt_settings import Settings
from mole_jax.representation import flat
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network

_HINT = (
    'describe it in a file for --network, such as {"name": "mlp", "hidden": [8], "activation": '
    '"relu", "input_shape": [64], "outputs": 5}'
)
_KERNEL = 3  # side of a convolution


def find(settings: Settings, given: Path | None = None) -> tuple[dict[str, Any], Network]:
    """Find the network, and its description as in the schema of a zoo.

    The three kinds of G.pt's data sets need no description: MLPs (assumed to have ReLU); CNNs of
    3x3 convolutions, the first with stride 2 and the others with 1, on images of 32 x 32 pixels;
    policies with a `log_std` and SELU.

    Raises:
        UserError: if it is none of these, or the sizes are not those of the given network.
    """
    stored = files.read_json(given) if given else _guess(settings)
    if stored is None:
        raise UserError(
            f"parameters of sizes {list(settings.parameter_sizes)} fit no known network: {_HINT}"
        )
    try:
        network = networks.from_json(stored)
    except (KeyError, TypeError, AttributeError) as problem:
        raise UserError(f"{given}: {problem} is missing or wrong: {_HINT}") from None
    if flat.sizes(network) != settings.parameter_sizes:
        raise UserError(
            f"the network {stored['name']!r} has tensors of sizes {list(flat.sizes(network))}, but "
            f"the settings have parameter_sizes {list(settings.parameter_sizes)}: {_HINT}"
        )
    return stored, network


def _guess(settings: Settings) -> dict[str, Any] | None:
    sizes, names = settings.parameter_sizes, settings.parameter_names
    if names[0].endswith("log_std"):
        layers = _dense(sizes[1:])
        if layers is None or layers[-1] != sizes[0]:
            return None
        return _layered("gaussian_policy", "selu", layers)
    layers = _dense(sizes)
    if layers is not None and not any("conv" in name for name in names):
        return _layered("mlp", "relu", layers)
    return _convolutions(sizes)


def _layered(name: str, activation: str, layers: list[int]) -> dict[str, Any]:
    n_in, *hidden, n_out = layers
    described = {"name": name, "hidden": hidden, "activation": activation}
    return described | {"input_shape": [n_in], "outputs": n_out}


def _dense(sizes: tuple[int, ...]) -> list[int] | None:
    """Return inputs and widths of linear layers with these weights and biases, or None.

    Layers follow one another: a weight's size is the product of two widths.
    """
    weights, biases = sizes[::2], sizes[1::2]
    if len(weights) != len(biases) or len(weights) < 2 or weights[0] % biases[0]:
        return None
    widths = [weights[0] // biases[0], *biases]
    fits = all(w == a * b for w, (a, b) in zip(weights, itertools.pairwise(widths), strict=True))
    return widths if fits else None


def _convolutions(sizes: tuple[int, ...]) -> dict[str, Any] | None:
    """Recognise a CNN, with biases or without, from its end: a linear layer with a bias."""
    if len(sizes) < 3 or sizes[-2] % sizes[-1]:
        return None
    *before, weight, n_out = sizes
    width, n = weight // n_out, _KERNEL**2
    for bias in (False, True):
        kernels = before[::2] if bias else before
        widths = [width]
        for kernel in reversed(kernels):
            widths.insert(0, kernel // (n * max(widths[0], 1)))  # 0 if they do not fit
        fits = [n * a * b for a, b in itertools.pairwise(widths)] == list(kernels)
        if fits and all(widths) and (not bias or before[1::2] == widths[1:]):
            return {
                "name": "cnn",
                "channels": widths[1:],
                "strides": [2] + [1] * (len(widths) - 2),
                "bias": bias,
                "norm_groups": 0,
                "input_shape": [32, 32, widths[0]],
                "outputs": n_out,
            }
    return None
