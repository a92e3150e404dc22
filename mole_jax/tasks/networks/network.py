"""A network as pure functions, and the record of all that other code asks of its kind."""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.tasks.networks.symmetries import Permutation, Rotation
from mole_jax.tasks.parameters import ParameterSpec

OUTPUT = "output"  # the axis of the network's outputs, in every network


class Outputs(enum.Enum):
    """What a network puts out: a classifier has CLASSES, a policy one of the next two."""

    CLASSES = "logits of the labels of examples"
    CATEGORICAL = "logits of choices, of which a policy takes one"
    NORMAL = "means of actions, each with a standard deviation of its own"
    VALUES = "a number for each example, whose label is the number wanted"


@dataclasses.dataclass(frozen=True)
class TorchModule:
    """The PyTorch module that computes the same."""

    names: Callable[[Network], dict[str, str]]  # layer -> the module's name of it
    forward: Callable[[Any, Network], str]  # (config, network) -> how it computes, in one line


@dataclasses.dataclass(frozen=True)
class Shorthand:
    """How a few characters name a network: WORD:SIZES."""

    word: str
    sizes: str  # what they stand for, such as IN,HIDDEN,...,OUT
    config: Callable[[tuple[int, ...]], Any]  # sizes between the first and the last -> config
    images: bool = False  # the first size is an image's channels, else the number of inputs


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkKind:
    """All that the rest of the code asks of a network by its name."""

    name: str  # config.network.name
    config: type[Any]  # frozen dataclass: its keys of config.network, with their defaults
    build: Callable[[Any, tuple[int, ...], int], Network]  # (config, input_shape, n_outputs)
    outputs: Outputs
    torch: TorchModule | None = None  # None: MOLE knows no such module
    shorthand: Shorthand | None = None
    any_size: bool = False  # the same parameters take images of any height and width

    @property
    def classifies(self) -> bool:
        """Whether its outputs stand for the labels of its examples; else it is a policy."""
        return self.outputs is Outputs.CLASSES


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """Several networks embedded in the parameters of one by zero padding.

    Each has a name, such as "24-12" for an MLP with two hidden layers, and sizes: numbers [H] that
    identify it in arrays.
    """

    sizes: Callable[[str], tuple[int, ...]]  # of a name; raises UserError where there is no room
    sized: Callable[[Any, jax.Array], Any]  # (fresh params, sizes [H]) -> params of these sizes
    there: Callable[[Any], Any]  # (params) -> leaves bool: which ones these sizes have
    places: Callable[[Network, Network], np.ndarray]  # (frame, own network) -> its places [d]
    plain: Callable[[str], dict[str, Any]]  # name -> `config.network` of its own network
    trained: Callable[[np.random.Generator], Iterator[str]]  # endlessly drawn names to train
    unseen: tuple[str, ...]  # names that are held out
    largest: str  # of those that are trained
    kinds: tuple[str, ...]  # names without sizes; the others are widths of an MLP
    outside: Callable[[str], str]  # name -> how it lies outside of training; "" if inside


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A target network as pure functions over nested dicts."""

    kind: NetworkKind
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
    transposed_kernels: bool = False
    # Examples at a time for which `apply` stays within a CPU's cache; 0: any number.
    microbatch: int = 0
    frame: Frame | None = None  # None: all its networks have all parameters

    def __post_init__(self) -> None:
        shapes = {field.path: field.shape for field in self.spec.fields}
        if set(self.axes) != set(shapes):
            raise ValueError(f"axes of {sorted(self.axes)}, but parameters {sorted(shapes)}")
        for path, names in self.axes.items():
            for name, n in zip(names, shapes[path], strict=True):
                if self.sizes[name] != n:
                    raise ValueError(f"axis {name!r} of {path} has {n}, not {self.sizes[name]}")

    @property
    def name(self) -> str:
        """The name of its kind, as in `config.network.name`."""
        return self.kind.name

    @property
    def outputs(self) -> Outputs:
        """What its outputs are."""
        return self.kind.outputs

    @property
    def n_inputs(self) -> int:
        """Numbers in an image."""
        return math.prod(self.input_shape)

    @property
    def classifies(self) -> bool:
        """Whether its outputs stand for the labels of its examples; else it is a policy."""
        return self.kind.classifies

    @property
    def acts(self) -> bool:
        """Whether it is a policy."""
        return self.outputs in (Outputs.CATEGORICAL, Outputs.NORMAL)

    @property
    def n_classes(self) -> int:
        """Number of labels of its tasks' examples; 1 for a policy, whose examples have none."""
        return self.n_outputs if self.classifies else 1

    @property
    def example_size(self) -> int:
        """Numbers in an example of its tasks: an image, or a transition of a policy's world."""
        if self.outputs in (Outputs.CLASSES, Outputs.VALUES):
            return self.n_inputs
        actions = self.n_outputs if self.outputs is Outputs.NORMAL else 1
        return 2 * self.n_inputs + actions

    @functools.cached_property
    def sizes(self) -> dict[str, int]:
        """How many indices each named axis has."""
        return {
            name: n
            for field in self.spec.fields
            for name, n in zip(self.axes[field.path], field.shape, strict=True)
        }

    @functools.cached_property
    def output_of(self) -> np.ndarray:  # [D] int32
        """Which output each parameter belongs to alone, -1 in hidden layers."""
        found = np.full(self.spec.size, -1, np.int32)
        for field in self.spec.fields:
            axes = self.axes[field.path]
            if OUTPUT in axes:
                along = np.indices(field.shape)[axes.index(OUTPUT)]
                found[field.slice] = along.reshape(-1)
        return found

    @property
    def permutations(self) -> tuple[Permutation, ...]:
        """The axes whose indices can be permuted."""
        return tuple(s for s in self.symmetries if isinstance(s, Permutation))

    @property
    def rotations(self) -> tuple[Rotation, ...]:
        """The axes whose basis is arbitrary."""
        return tuple(s for s in self.symmetries if isinstance(s, Rotation))


def of_module(
    kind: NetworkKind,
    module: Any,
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    images: bool,
    axes: Mapping[str, tuple[str, ...]],
    units: tuple[tuple[str, ...], ...],
    symmetries: tuple[Permutation | Rotation, ...],
) -> Network:
    """Build a network from a Flax module.

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
    return Network(kind, input_shape, n_outputs, init, apply, spec, axes, units, symmetries)
