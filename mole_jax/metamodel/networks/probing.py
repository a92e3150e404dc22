"""Gradient of the probe loss at the current weight estimate, as token features.

A transformer that writes weights never runs the network that they make, so small errors of many
units add up unseen in its outputs. Here the network is run, on examples that the meta-model makes
up for each class, and the gradient of its loss shows every parameter where to go. The
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

from mole_jax.metamodel.process.noising import Process
from mole_jax.representation.tokens import ProbeGradient, Representation
from mole_jax.tasks import outputs
from mole_jax.tasks.networks import Network


class Denoising(NamedTuple):
    """What an output of the network is relative to: all that makes it a network's tokens."""

    noisy: jax.Array  # [B, L, C]
    start: jax.Array  # [B, L, C] as it is seen, of order 1
    anchor: jax.Array  # [B, L, C] what the output is added to: the start, or the zoo's mean
    t: jax.Array  # [B] in [0, 1]
    scale: jax.Array  # [B, L, C] standard deviation of the target around the anchor
    representation: Representation


class Probes(NamedTuple):
    """Examples for each network to be run on, and what it should answer."""

    inputs: jax.Array  # [B, n, F]
    targets: jax.Array  # [B, n] labels, or [B, n, O] of a policy: see `outputs.error`
    weights: jax.Array | None = None  # [B, n] not negative; without them all count alike
    n_classes: jax.Array | None = None  # [B] of each network's task, as Examples have it


# (output [B, L, C], what it is relative to, probes) -> the gradient of the probe loss, in tokens.
ProbeGradientOf = Callable[[jax.Array, Denoising, Probes], ProbeGradient]


def make_probe_gradient(process: Process, network: Network) -> ProbeGradientOf:
    """Make the function that runs the current estimate on probes and differentiates their loss.

    It permutes as the network does: a reordering of hidden units in output and denoising reorders
    the gradient.
    """

    def loss(flat: jax.Array, probes: Probes) -> jax.Array:
        found = network.apply(network.spec.unflatten(flat), probes.inputs)
        error = outputs.error(network, found, probes.targets, probes.n_classes)
        if probes.weights is None:
            return jnp.mean(error)
        return jnp.sum(probes.weights * error) / jnp.maximum(jnp.sum(probes.weights), 1.0)

    def probe_gradient(output: jax.Array, of: Denoising, probes: Probes) -> ProbeGradient:
        tokens = process.clean_estimate(output, of.noisy, of.anchor, of.t, of.scale)
        given = [tokens, *jax.tree.leaves(probes)]
        chex.assert_equal_shape_prefix(given, 1, custom_message="output, probes [B]")
        parameters = of.representation.parameters(tokens)
        gradient = jax.vmap(jax.grad(loss))(parameters, probes)  # [B, D]
        return of.representation.pull_back(gradient)

    return probe_gradient
