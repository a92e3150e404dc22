"""Probing: run an unfinished network on examples, and see which way they push its weights.

A transformer that writes weights never runs the network that they make, so small errors of many
units add up unseen in its outputs. Here the network is run, on examples that the meta-model makes
up for each class, and the gradient of its loss tells every parameter where it ought to go. The
examples are learned with all the rest, because the gradient is differentiated too. Learned
examples to train on: dataset distillation (Wang et al. 2018); outputs on learned inputs as features
of a network: Kahana et al. 2024.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from mole_jax.metamodel.process.diffusion import Process
from mole_jax.representation.codec import Codec
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks import outputs
from mole_jax.tasks.networks import Network

# Gradients are in nats for each unit of normalised parameters. Up to this size they count in
# proportion, above it logarithmically.
GRADIENT_UNIT = 0.01
# Directions are gradients over a tensor's root mean square, but no less than this: near a minimum
# the quotient would be noise, and its derivative unbounded.
SMALLEST_SIZE = 3e-3


class Frame(NamedTuple):
    """What an output of the transformer is relative to: all that makes it a network."""

    noisy: jax.Array  # [B, L, C]
    start: jax.Array  # [B, L, C] as it is seen, of order 1
    origin: jax.Array  # [B, L, C] what the output is added to: the start, or the zoo's mean
    t: jax.Array  # [B] in [0, 1]
    spread: jax.Array  # [B, L, C] of the target around the origin
    normaliser: Normaliser


class Probes(NamedTuple):
    """Examples for each network to be run on, and what it should answer."""

    inputs: jax.Array  # [B, n, F]
    targets: jax.Array  # [B, n] labels, or [B, n, O] of a policy: see `outputs.error`


class Push(NamedTuple):
    """Where the probes push a network, twice: only the way, and how hard."""

    way: jax.Array  # [B, L, C] each tensor of order 1
    force: jax.Array  # [B, L, C] compressed: linear up to GRADIENT_UNIT


PushOn = Callable[[jax.Array, Frame, Probes], Push]


def make_push(process: Process, codec: Codec, network: Network) -> PushOn:
    """A function (output [B, L, C], frame, probes) -> Push.

    It permutes as the network does: a reordering of hidden units in output and frame reorders the
    push.
    """

    def loss(flat: jax.Array, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        found = network.apply(network.spec.unflatten(flat), inputs)
        return jnp.mean(outputs.error(network, found, targets))

    def push(output: jax.Array, frame: Frame, probes: Probes) -> Push:
        tokens = process.clean_estimate(output, frame.noisy, frame.origin, frame.t, frame.spread)
        chex.assert_equal_shape_prefix([tokens, *probes], 1, custom_message="output, probes [B]")
        flat = frame.normaliser.denormalise(codec.decode(tokens))
        scale = frame.normaliser.scale[None]
        down = -jax.vmap(jax.grad(loss))(flat, probes.inputs, probes.targets) * scale  # [B, D]
        ways = []
        for field in network.spec.fields:
            part = down[:, field.slice]
            square = jnp.mean(part**2, axis=1, keepdims=True)
            ways.append(part / jnp.sqrt(square + SMALLEST_SIZE**2))
        way = codec.encode(jnp.concatenate(ways, axis=1))
        return Push(way, codec.encode(jnp.arcsinh(down / GRADIENT_UNIT)))

    return push
