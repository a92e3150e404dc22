"""Distances of a network's outputs: from another network's, and from targets.

Classifiers and categorical policies put out logits; Gaussian policies the means of actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from mole_jax.tasks.classification import cross_entropy, masked
from mole_jax.tasks.networks import Network, Outputs


def divergence(
    network: Network,
    target: Mapping[str, Any],
    estimate: Mapping[str, Any],
    inputs: jax.Array,
    n_classes: jax.Array | None = None,
) -> jax.Array:
    """Measure how far the outputs of `estimate` are from those of `target`: [n].

    KL(target || estimate) of the classes' or choices' probabilities, in nats. For Gaussian
    policies, the squared difference of the means, on a scale that is linear up to 1, the largest
    action that has an effect, and logarithmic above: greedy actions depend on the means alone.

    Args:
        network: the architecture of both.
        target: parameters of the target.
        estimate: parameters of the estimate.
        inputs: [n, F].
        n_classes: [] classes of the task; None: all that the network has outputs for.
    """
    wanted, found = network.apply(target, inputs), network.apply(estimate, inputs)
    if network.outputs is Outputs.NORMAL:
        return jnp.sum((jnp.arcsinh(found) - jnp.arcsinh(wanted)) ** 2, axis=-1)
    wanted, found = (jax.nn.log_softmax(masked(x, n_classes)) for x in (wanted, found))
    return jnp.sum(jnp.exp(wanted) * (wanted - found), axis=-1)


def error(
    network: Network, outputs: jax.Array, targets: jax.Array, n_classes: jax.Array | None = None
) -> jax.Array:
    """Measure how far outputs [n, O] are from targets: [n].

    Targets are labels [n] of a classifier; logits [n, O] of the probabilities that a categorical
    policy should have; actions [n, O] of a Gaussian one. `n_classes` [] is how many of a
    classifier's outputs are classes of the task, the first ones; None: all.
    """
    if network.classifies:
        return cross_entropy(outputs, targets, n_classes)
    chex.assert_equal_shape([outputs, targets], custom_message="outputs, targets [n, O]")
    if network.outputs is Outputs.NORMAL:
        return jnp.sum((jnp.arcsinh(outputs) - targets) ** 2, axis=-1)
    return -jnp.sum(jax.nn.softmax(targets) * jax.nn.log_softmax(outputs), axis=-1)
