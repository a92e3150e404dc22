"""What a network's outputs mean: how far two networks are apart, and what pulls one to a target.

Classifiers and categorical policies put out logits; Gaussian policies the means of actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from mole_jax.tasks.classification import cross_entropy
from mole_jax.tasks.networks import Network, Outputs


def divergence(
    network: Network, wanted: Mapping[str, Any], given: Mapping[str, Any], inputs: jax.Array
) -> jax.Array:
    """Measure how far the outputs of `given` are from those of `wanted`, for each input: [n].

    KL(wanted || given) of the classes' or choices' probabilities, in nats. Of Gaussian policies the
    squared difference of the means, which count in proportion up to 1, the largest action that has
    an effect, and logarithmically above: greedy actions depend on the means alone.

    Args:
        network: of both.
        wanted: its parameters.
        given: parameters, too.
        inputs: [n, F].
    """
    target, found = network.apply(wanted, inputs), network.apply(given, inputs)
    if network.outputs is Outputs.NORMAL:
        return jnp.sum((jnp.arcsinh(found) - jnp.arcsinh(target)) ** 2, axis=-1)
    target, found = jax.nn.log_softmax(target), jax.nn.log_softmax(found)
    return jnp.sum(jnp.exp(target) * (target - found), axis=-1)


def error(network: Network, outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Measure how far outputs [n, O] are from targets: [n].

    Targets are labels [n] of a classifier; logits [n, O] of the probabilities that a categorical
    policy should have; actions [n, O] of a Gaussian one.
    """
    if network.classifies:
        return cross_entropy(outputs, targets)
    chex.assert_equal_shape([outputs, targets], custom_message="outputs, targets [n, O]")
    if network.outputs is Outputs.NORMAL:
        return jnp.sum((jnp.arcsinh(outputs) - targets) ** 2, axis=-1)
    return -jnp.sum(jax.nn.softmax(targets) * jax.nn.log_softmax(outputs), axis=-1)
