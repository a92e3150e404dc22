"""Loss and metrics of a classifier on a labelled, possibly padded, set of examples."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the negative log-likelihood in nats: logits [..., K], labels [...] -> [...]."""
    chex.assert_shape(labels, logits.shape[:-1], custom_message="labels [...], logits [..., K]")
    logits = logits.astype(jnp.float32)
    # A one-hot product, not a gather: it batches into the population's large products.
    chosen = jnp.sum(logits * jax.nn.one_hot(labels, logits.shape[-1]), axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def loss_and_accuracy(
    logits: jax.Array, labels: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return mean loss (nats) and accuracy (fraction) over the examples whose mask is True.

    Args:
        logits: [..., n, K].
        labels: [n] in 0..K-1.
        mask: [n] bool.

    Returns:
        Two arrays [...].
    """
    chex.assert_shape(
        [labels, mask], logits.shape[-2:-1], custom_message="labels, mask [n], logits [..., n, K]"
    )
    chex.assert_type([labels, mask], [int, bool], custom_message="labels int, mask bool")
    labels = jnp.broadcast_to(labels, logits.shape[:-1])
    weight = mask.astype(jnp.float32) / jnp.maximum(jnp.sum(mask), 1)
    weight = jnp.broadcast_to(weight, labels.shape)
    hit = (jnp.argmax(logits, -1) == labels).astype(jnp.float32)
    return jnp.sum(cross_entropy(logits, labels) * weight, -1), jnp.sum(hit * weight, -1)
