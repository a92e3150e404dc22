"""Loss and metrics of a classifier on a labelled, possibly padded, set of examples.

A task may have fewer classes than the network has outputs. The first outputs are then its classes,
and the others are masked: they change no loss, no metric and no gradient.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

# The logit of a class that a task lacks: finite, so that no product of it is NaN.
_ABSENT = -1e9


def masked(logits: jax.Array, n_classes: jax.Array | None) -> jax.Array:
    """Give zero probability to outputs that stand for no class of a task.

    Args:
        logits: [..., K].
        n_classes: [] number of classes of the task; None: all K, and the logits stay as they are.

    Returns:
        [..., K]
    """
    if n_classes is None:
        return logits
    chex.assert_rank(n_classes, 0, custom_message="n_classes []: vmap over several tasks")
    there = jnp.arange(logits.shape[-1]) < n_classes
    return jnp.where(jnp.broadcast_to(there, logits.shape), logits, _ABSENT)


def cross_entropy(
    logits: jax.Array, labels: jax.Array, n_classes: jax.Array | None = None
) -> jax.Array:
    """Return the negative log-likelihood in nats: logits [..., K], labels [...] -> [...].

    `n_classes` is as in `masked`.
    """
    chex.assert_shape(labels, logits.shape[:-1], custom_message="labels [...], logits [..., K]")
    logits = masked(logits.astype(jnp.float32), n_classes)
    # A one-hot product, not a gather: it batches into the population's large products.
    chosen = jnp.sum(logits * jax.nn.one_hot(labels, logits.shape[-1]), axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def loss_and_accuracy(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, n_classes: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Return mean loss (nats) and accuracy (fraction) over the examples whose mask is True.

    Args:
        logits: [..., n, K].
        labels: [n] in 0..K-1.
        mask: [n] bool.
        n_classes: [] number of classes of the task, above all labels; None: K.

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
    logits = masked(logits, n_classes)
    hit = (jnp.argmax(logits, -1) == labels).astype(jnp.float32)
    return jnp.sum(cross_entropy(logits, labels) * weight, -1), jnp.sum(hit * weight, -1)
