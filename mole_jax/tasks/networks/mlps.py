"""MLPs of several depths and widths, embedded in the parameters of the largest of them.

A smaller MLP has zeros for what it lacks: all parameters of missing units and layers, and of the
outputs of all layers but its last. Only these zeros encode its sizes, and they leave its function
unchanged. Training keeps them: where a unit's parameters are all zero, so are their gradients.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import mlp
from mole_jax.tasks.networks.network import (
    OUTPUT,
    Frame,
    Network,
    NetworkKind,
    Outputs,
    of_module,
)
from mole_jax.tasks.networks.symmetries import Permutation

MOST = 100_000  # sizes of one depth that can be trained on
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class MLPsConfig:
    """MLPs of several sizes, embedded in the parameters of the largest."""

    hidden: tuple[int, ...] = (32, 32)  # the largest widths that any layer may have
    activation: str = "relu"  # relu, gelu, tanh, silu or selu: between layers
    # Sizes that are trained on: every hidden layer has one of these widths.
    widths: tuple[int, ...] = (8, 16, 32)
    depths: tuple[int, ...] = (1, 2)  # numbers of hidden layers that are trained on
    unseen: tuple[str, ...] = ()  # sizes that are held out as S4, such as "24" and "12-24"


class MLPs(nn.Module):
    """Dense layers `hidden_0..`, each with an output layer `output_0..`, of which one is read.

    It is that of the last layer present. A layer is present if one of its incoming weights is not
    zero.
    """

    hidden: tuple[int, ...]
    n_outputs: int
    activation: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # [..., n_inputs]
        columns = x.reshape(-1, x.shape[-1]).T
        kernels, units = [], []
        for i, width in enumerate(self.hidden):
            kernel, bias = _Layer(width, name=f"hidden_{i}")(len(columns))
            columns = mlp.ACTIVATIONS[self.activation](kernel.T @ columns + bias[:, None])
            kernels.append(kernel)
            units.append(columns)
        found = self.param("output", nn.initializers.zeros, (self.n_outputs,))[:, None]
        for i, (columns, last) in enumerate(zip(units, _lasts(kernels), strict=True)):
            kernel = _Reading(self.n_outputs, name=f"output_{i}")(len(columns))
            found = found + jnp.where(last, kernel.T @ columns, 0.0)
        return found.T.reshape(*x.shape[:-1], self.n_outputs)


class _Layer(nn.Module):
    features: int

    @nn.compact
    def __call__(self, n: int) -> tuple[jax.Array, jax.Array]:
        kernel = self.param("kernel", nn.initializers.he_uniform(), (n, self.features))
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,))


class _Reading(nn.Module):
    features: int

    @nn.compact
    def __call__(self, n: int) -> jax.Array:
        return self.param("kernel", nn.initializers.he_uniform(), (n, self.features))


def build(config: MLPsConfig, input_shape: tuple[int, ...], n_outputs: int) -> Network:
    """Return the frame of MLPs that are `n_inputs - hidden - n_outputs` or smaller.

    Raises:
        UserError: for invalid sizes, or sizes that do not fit into the frame.
    """
    mlp.check(config.hidden, config.activation)
    check(config)
    module = MLPs(config.hidden, n_outputs, config.activation)
    layers = [f"hidden_{i}" for i in range(len(config.hidden))]
    axes: dict[str, tuple[str, ...]] = {OUTPUT: (OUTPUT,)}
    for i, (layer, before) in enumerate(zip(layers, ["input", *layers], strict=False)):
        axes |= {f"{layer}/kernel": (before, layer), f"{layer}/bias": (layer,)}
        axes[f"output_{i}/kernel"] = (layer, OUTPUT)
    network = of_module(
        NETWORK,
        module,
        input_shape,
        n_outputs,
        images=False,
        axes=axes,
        units=tuple((layer,) for layer in layers),
        symmetries=tuple(Permutation(layer) for layer in layers),
    )
    return dataclasses.replace(network, transposed_kernels=True, frame=_frame(config))


def _frame(config: MLPsConfig) -> Frame:
    plain = dataclasses.asdict(mlp.MLPConfig(activation=config.activation))
    n_layers = len(config.hidden)

    def sizes(name: str) -> tuple[int, ...]:
        own = parsed(name)
        if no_room := _no_room(config.hidden, own):
            raise UserError(no_room)
        return (*own, *[0] * (n_layers - len(own)))

    def outside(name: str) -> str:
        own, widths, depths = parsed(name), config.widths, config.depths
        inside = min(widths) <= min(own) and max(own) <= max(widths)
        if inside and min(depths) <= len(own) <= max(depths):
            return ""
        return (
            f"hidden layers of {name} units: training had widths {min(widths)}..{max(widths)} and "
            f"{min(depths)}..{max(depths)} hidden layers"
        )

    return Frame(
        sizes=sizes,
        sized=sized,
        there=there,
        places=places,
        plain=lambda name: {"name": "mlp", **plain, "hidden": list(parsed(name))},
        trained=functools.partial(_trained, config),
        unseen=config.unseen,
        largest=_name([max(config.widths)] * max(config.depths)),
        kinds=(),
        outside=outside,
    )


def _trained(config: MLPsConfig, rng: np.random.Generator) -> Iterator[str]:
    """Draw sizes endlessly: depths come equally often, and so do all widths of a depth."""
    of_depth = {
        depth: dealt([*itertools.product(config.widths, repeat=depth)], rng)
        for depth in config.depths
    }
    for depth in dealt(config.depths, rng):
        yield _name(next(of_depth[depth]))


def dealt(things: Sequence[T], rng: np.random.Generator) -> Iterator[T]:
    """Deal things in random order, all of them before any comes again."""
    while True:
        for i in rng.permutation(len(things)):
            yield things[i]


def _name(widths: Sequence[int]) -> str:
    return "-".join(map(str, widths))


def check(config: MLPsConfig) -> None:
    """Raise UserError for sizes that do not fit into the frame, or unseen ones that are trained."""
    if not config.widths or min(config.widths) < 1 or not config.depths or min(config.depths) < 1:
        raise UserError(
            f"network.widths={config.widths} and network.depths={config.depths} must name one "
            "number of 1 or more at least, each"
        )
    deepest = max(config.depths)
    if len(set(config.widths)) < len(config.widths) or len(set(config.depths)) < len(config.depths):
        raise UserError(
            f"network.widths={config.widths} and network.depths={config.depths} must not name a "
            "number twice"
        )
    if (n := len(config.widths) ** deepest) > MOST:
        raise UserError(
            f"network.widths={config.widths} and network.depths={config.depths} make {n:,} sizes; "
            f"at most {MOST:,} can be trained on: name fewer"
        )
    try:
        unseen = [*map(parsed, config.unseen)]
    except UserError as problem:
        raise UserError(f"network.unseen: {problem}") from None
    for own in ((max(config.widths),) * deepest, *unseen):
        if no_room := _no_room(config.hidden, own):
            raise UserError(f"{no_room}; raise it, or name smaller ones")
    for text, own in zip(config.unseen, unseen, strict=True):
        if len(own) in config.depths and set(own) <= set(config.widths):
            raise UserError(
                f"network.unseen: {text!r} is trained on, by network.widths={config.widths} and "
                f"network.depths={config.depths}; take it out of one of them"
            )
    if len(set(unseen)) < len(unseen):
        raise UserError(f"network.unseen={config.unseen} names some sizes twice")


def _no_room(largest: tuple[int, ...], own: tuple[int, ...]) -> str:
    """Say that an MLP is larger than the frame; "" where it is not."""
    if len(own) <= len(largest) and all(a <= b for a, b in zip(own, largest, strict=False)):
        return ""
    return f"network.hidden={largest} has no room for an MLP of {_name(own)} hidden units"


def parsed(text: str) -> tuple[int, ...]:
    """Return the widths that a string such as "24-12" names.

    Raises:
        UserError: for anything else.
    """
    if not isinstance(text, str):
        raise UserError(f"{text!r} is not a string: write it in quotes, such as ('{text}',)")
    parts = text.split("-")
    if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise UserError(
            f"{text!r} names no hidden layers: write the widths of one MLP with '-' between them, "
            "such as '24-12'; of several, ('8', '24-12')"
        )
    return tuple(map(int, parts))


def there(params: dict[str, Any]) -> dict[str, Any]:
    """Return which parameters a network has, read off any network of its sizes: leaves bool."""
    kernels = [params[f"hidden_{i}"]["kernel"] for i in range(_depth(params))]
    units = [jnp.any(kernel != 0, axis=0) for kernel in kernels]
    found: dict[str, Any] = {OUTPUT: jnp.ones(params[OUTPUT].shape, bool)}
    before = jnp.ones(kernels[0].shape[:1], bool)
    n_outputs = len(params[OUTPUT])
    for i, (own, last) in enumerate(zip(units, _lasts(kernels), strict=True)):
        found[f"hidden_{i}"] = {"kernel": before[:, None] & own[None], "bias": own}
        read = jnp.broadcast_to((own & last)[:, None], (len(own), n_outputs))
        found[f"output_{i}"] = {"kernel": read}
        before = own
    return found


def sized(params: dict[str, Any], sizes: jax.Array) -> dict[str, Any]:
    """Return an initial network of given sizes, made from one of the largest size.

    Args:
        params: fresh.
        sizes: [H] units of each layer, 0 for those that it lacks, which come last.
    """
    n = _depth(params)
    later = jnp.append(sizes[1:], 0)
    found: dict[str, Any] = {OUTPUT: params[OUTPUT]}
    largest = len(params["hidden_0"]["kernel"])
    rows = jnp.asarray(largest)
    for i in range(n):
        kernel, bias = params[f"hidden_{i}"]["kernel"], params[f"hidden_{i}"]["bias"]
        own, read = jnp.arange(len(bias)) < sizes[i], params[f"output_{i}"]["kernel"]
        before = jnp.arange(largest) < rows
        # He initialisation: the fewer inputs a unit has, the larger its weights.
        wider = jnp.sqrt(largest / jnp.maximum(rows, 1))
        found[f"hidden_{i}"] = {
            "kernel": jnp.where(before[:, None] & own[None], kernel * wider, 0.0),
            "bias": jnp.where(own, bias, 0.0),
        }
        largest, rows = len(bias), sizes[i]
        wider = jnp.sqrt(largest / jnp.maximum(rows, 1))
        last = own[:, None] & (later[i] == 0)
        found[f"output_{i}"] = {"kernel": jnp.where(last, read * wider, 0.0)}
    return found


def places(network: Network, own: Network) -> np.ndarray:
    """Return the positions of an MLP's parameters among those of the frame: [d] int."""
    deepest = f"output_{len(own.units) - 1}/kernel"
    found = []
    for field in own.spec.fields:
        path = {"output/kernel": deepest, "output/bias": OUTPUT}.get(field.path, field.path)
        of = network.spec[path]
        every = np.arange(of.size).reshape(of.shape) + of.offset
        found.append(every[tuple(map(slice, field.shape))].reshape(-1))
    return np.concatenate(found)


def _depth(params: dict[str, Any]) -> int:
    return sum(name.startswith("hidden_") for name in params)


def _lasts(kernels: list[jax.Array]) -> list[Any]:
    """Return for each layer whether none follows it, given the layers' incoming weights."""
    return [*(~jnp.any(kernel != 0) for kernel in kernels[1:]), jnp.asarray(True)]


NETWORK = NetworkKind(name="mlps", config=MLPsConfig, build=build, outputs=Outputs.CLASSES)
