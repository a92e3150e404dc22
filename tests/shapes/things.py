"""What the cases of wrong shapes are made of."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax import representation
from mole_jax.metamodel.networks import gpt_transformer
from mole_jax.metamodel.process import noising
from mole_jax.population import optimizer
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks import environments, networks
from mole_jax.tasks.examples import Examples
from tests import tiny

KEY = jax.random.key(0)
ADAM = optimizer.of_names(("adam",))
B, N, S, R = 2, 6, 4, 3  # networks, support examples, snapshots, runs


def floats(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def ints(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def bools(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.bool_)


MLP = networks.build({"name": "mlp", "hidden": (6,), "activation": "relu"}, (7,), 3)
CNN = networks.build(
    {"name": "cnn", "channels": (4,), "strides": (1,), "bias": True, "norm_groups": 0}, (4, 4, 2), 3
)
VIT = networks.build(
    {"name": "vit", "patch": 2, "width": 6, "layers": 1, "heads": 2, "mlp": 5, "pooling": "mean"},
    (4, 4, 1),
    3,
)
GAUSSIAN, CATEGORICAL = (
    networks.build({"name": name, "hidden": (5,), "activation": "tanh"}, (4,), n)
    for name, n in zip(("gaussian_policy", "categorical_policy"), (1, 3), strict=True)
)
CARTPOLE = environments.build("cartpole")
D = MLP.spec.size
CODEC = representation.codec("neuron", MLP, chunk_size=0)
L, C = CODEC.table.shape
EDM = noising.build("cosine", 10, "edm")
TOKENS = gpt_transformer.Tokens(split="chunk", chunk_size=40, n_frequencies=4)


def hyper(*shape: int) -> Hyperparameters:
    return Hyperparameters(floats(*shape), floats(*shape), floats(*shape), ints(*shape))


def normaliser(size: int) -> Normaliser:
    return Normaliser(floats(size), floats(size), floats(size))


def examples(*lead: int, size: int) -> Examples:
    return Examples(floats(*lead, N, size), ints(*lead, N), bools(*lead, N))


@functools.cache
def setting() -> tiny.Setting:
    return tiny.made_up(metamodel__probes=1, metamodel__inner_steps=1)


@dataclasses.dataclass(frozen=True)
class Case:
    """A function with arguments that fit, and for some of them ones that do not."""

    function: Callable[..., Any]
    good: dict[str, Any]
    bad: tuple[tuple[str, Any, str], ...]  # argument, what it becomes, a part of the message
    traced: bool = True  # else it is not for tracing as a whole
