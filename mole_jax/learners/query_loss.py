"""The query loss and its gradient, for every learner that is trained on episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from mole_jax.metamodel.networks import sharding
from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, Outputs
from mole_jax.training import microbatch

Metrics = dict[str, jax.Array]
# (theta, episodes) -> a mean over these episodes, and metrics, `loss` among them
Loss = Callable[[Any, Any], tuple[jax.Array, Metrics]]


def gradient(
    loss: Loss, theta: Any, batch: Any, mesh: Mesh | None, parts: int
) -> tuple[Any, Metrics]:
    """Return the gradient of a loss on episodes, and its metrics.

    Args:
        loss: (theta, episodes) -> loss, metrics.
        theta: the parameters of a learner.
        batch: B episodes with query sets, and anything else that goes with each.
        mesh: its devices share the batch.
        parts: number of parts that a batch is cut into, one after another.
    """

    def of(part: Any) -> tuple[Any, Metrics]:
        def gathered(theta: Any) -> tuple[jax.Array, Metrics]:
            return loss(theta if mesh is None else sharding.gathered(theta, mesh), part)

        (_, metrics), grads = jax.value_and_grad(gathered, has_aux=True)(theta)
        return grads, metrics

    found: tuple[Any, Metrics] = microbatch.mean(of, sharding.shard_batch(batch, mesh), parts, mesh)
    return found


def of_networks(
    network: Network, flat: jax.Array, query: Examples | None
) -> tuple[jax.Array, Metrics]:
    """Return the mean loss of networks [B, D] on query sets [B, m], and metrics."""
    assert query is not None
    loss, accuracy = jax.vmap(lambda flat, examples: of_one(network, flat, examples))(flat, query)
    found = jnp.mean(loss)
    more = {"query_accuracy": jnp.mean(accuracy)} if network.classifies else {}
    return found, {"loss": found} | more


def of_one(network: Network, flat: jax.Array, examples: Examples) -> tuple[jax.Array, jax.Array]:
    """Return the loss (nats) and accuracy of one network [D] on examples [n].

    For a network that answers with values, they are its mean squared error and NaN.
    """
    outputs = network.apply(network.spec.unflatten(flat), examples.inputs)
    if network.outputs is Outputs.VALUES:
        square = jnp.square(outputs[..., 0] - examples.labels) * examples.mask
        return jnp.sum(square) / jnp.maximum(jnp.sum(examples.mask), 1), jnp.full((), jnp.nan)
    return loss_and_accuracy(outputs, *examples[1:])
