"""Networks whose weights are learned: `init(key) -> params`, `apply(params, x) -> logits`.

A network names every axis of every tensor. From these names alone follow its tokens
(`representation/neuron.py`) and what its symmetries do to its parameters
(`representation/permutation.py`): nothing else in the code base knows one network from another.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks.symmetries import Permutation, Rotation
from mole_jax.tasks.parameters import ParameterSpec

CLASSIFIERS = ("mlp", "cnn", "vit")
POLICIES = ("gaussian_policy", "categorical_policy")
NAMES = (*CLASSIFIERS, *POLICIES)
OUTPUT = "output"  # the axis of the network's outputs, in every network


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A target network as pure functions over nested dicts."""

    name: str
    input_shape: tuple[int, ...]  # of an image or an observation
    n_outputs: int
    init: Callable[..., dict[str, Any]]  # (key) -> params
    # (params, x [..., n_inputs]) -> logits [..., n_outputs]; a Gaussian policy's mean actions
    apply: Callable[..., Any]
    spec: ParameterSpec
    axes: Mapping[str, tuple[str, ...]]  # path of a tensor -> the name of each of its axes
    units: tuple[tuple[str, ...], ...]  # each index along these axes is a unit, with a token
    symmetries: tuple[Permutation | Rotation, ...]
    # `apply` multiplies from the left, kernel.T @ examples: training keeps matrices transposed.
    by_columns: bool = False
    # So many examples at a time leave in a CPU's cache what `apply` makes of them; 0: any number.
    piece: int = 0

    def __post_init__(self) -> None:
        shapes = {field.path: field.shape for field in self.spec.fields}
        if set(self.axes) != set(shapes):
            raise ValueError(f"axes of {sorted(self.axes)}, but parameters {sorted(shapes)}")
        for path, names in self.axes.items():
            for name, n in zip(names, shapes[path], strict=True):
                if self.sizes[name] != n:
                    raise ValueError(f"axis {name!r} of {path} has {n}, not {self.sizes[name]}")

    @property
    def n_inputs(self) -> int:
        """Numbers in an image."""
        return math.prod(self.input_shape)

    @property
    def classifies(self) -> bool:
        """Whether its outputs stand for the labels of its examples; else it is a policy."""
        return self.name in CLASSIFIERS

    @property
    def n_classes(self) -> int:
        """Labels that the examples of its tasks have; those of a policy have none, which is one."""
        return self.n_outputs if self.classifies else 1

    @property
    def example_size(self) -> int:
        """Numbers in an example of its tasks: an image, or a transition of a policy's world."""
        if self.classifies:
            return self.n_inputs
        actions = self.n_outputs if self.name == "gaussian_policy" else 1
        return 2 * self.n_inputs + actions

    @functools.cached_property
    def sizes(self) -> dict[str, int]:
        """How many indices each named axis has."""
        return {
            name: n
            for field in self.spec.fields
            for name, n in zip(self.axes[field.path], field.shape, strict=True)
        }

    @property
    def permutations(self) -> tuple[Permutation, ...]:
        """The axes whose indices can change places."""
        return tuple(s for s in self.symmetries if isinstance(s, Permutation))

    @property
    def rotations(self) -> tuple[Rotation, ...]:
        """The axes whose basis is arbitrary."""
        return tuple(s for s in self.symmetries if isinstance(s, Rotation))


def build(config: Mapping[str, Any], input_shape: tuple[int, ...], n_outputs: int) -> Network:
    """Build the network that `config.network` names.

    Args:
        config: `name`, and the keys of that network; keys of other networks are ignored.
        input_shape: of an image, [H, W, channels]; an MLP takes any shape, a policy (O,).
        n_outputs: K classes, or what a policy puts out.

    Raises:
        UserError: for an unknown name or impossible sizes.
    """
    from mole_jax.tasks.networks import cnn, initial, mlp, policy, vit

    name = config["name"]
    init = config.get("init", initial.DEFAULT)  # stored networks of before have none
    if name == "mlp":
        hidden, activation = tuple(config["hidden"]), config["activation"]
        return mlp.build(hidden, input_shape, n_outputs, activation, init)
    if name == "cnn":
        return cnn.build(
            tuple(config["channels"]),
            tuple(config["strides"]),
            input_shape,
            n_outputs,
            bias=config["bias"],
            norm_groups=config["norm_groups"],
            init=init,
        )
    if name == "vit":
        if init != initial.DEFAULT:
            raise UserError(f"network.init={init!r}: a vit knows {initial.DEFAULT!r} only")
        return vit.build(
            input_shape,
            n_outputs,
            patch=config["patch"],
            width=config["width"],
            layers=config["layers"],
            heads=config["heads"],
            mlp=config["mlp"],
            pooling=config["pooling"],
        )
    if name in POLICIES:
        initial.check(init)  # policies start as PyTorch's layers do, either way
        hidden, activation = tuple(config["hidden"]), config["activation"]
        return policy.build(name, hidden, input_shape, n_outputs, activation)
    raise UserError(f"network.name={name!r} is unknown; there are {NAMES}")


def of_module(
    name: str,
    module: Any,
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    images: bool,
    axes: Mapping[str, tuple[str, ...]],
    units: tuple[tuple[str, ...], ...],
    symmetries: tuple[Permutation | Rotation, ...],
) -> Network:
    """A network from a Flax module.

    With `images` the module takes [B, *input_shape], else [..., n_inputs]. The other arguments are
    the network's own.
    """
    n_inputs = math.prod(input_shape)
    expected = input_shape if images else (n_inputs,)

    def init(key: jax.Array) -> dict[str, Any]:
        return module.init(key, jnp.zeros((1, *expected)))["params"]

    def apply(params: dict[str, Any], x: jax.Array) -> jax.Array:
        chex.assert_axis_dimension(x, -1, n_inputs, custom_message="x [..., n_inputs]")
        if not images:
            return module.apply({"params": params}, x)
        logits = module.apply({"params": params}, x.reshape(-1, *expected))
        return logits.reshape(*x.shape[:-1], n_outputs)

    spec = ParameterSpec.of(jax.eval_shape(init, jax.random.key(0)))
    return Network(name, input_shape, n_outputs, init, apply, spec, axes, units, symmetries)


def to_json(config: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """What `from_json` needs to build the network again, without its data."""
    from mole_jax.tasks.networks import initial

    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in dict(config).items()}
    if plain.get("init") == initial.DEFAULT:  # left out, as it was before there was a choice
        del plain["init"]
    return {**plain, "input_shape": list(network.input_shape), "outputs": network.n_outputs}


def from_json(stored: Mapping[str, Any]) -> Network:
    """The network that a zoo's schema describes."""
    return build(stored, tuple(stored["input_shape"]), stored["outputs"])
