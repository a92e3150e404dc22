"""The set encoder: a labelled support set of any size -> a fixed number of context tokens.

Every example passes through a learned feature map. Each class then has one token, made of the
mean and of an attention-weighted mean of its examples' features, plus an embedding of its label;
a few more tokens attend over all examples with their labels (Zaheer et al. 2017; Lee et al. 2019).
Examples enter through sums only, so their order does not matter and padding does not count.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from mole_jax.tasks import examples
from mole_jax.tasks.examples import Examples


class SetEncoder(nn.Module):
    """Support [B, n] -> context tokens [B, n_classes + n_queries, width], and weights [B, n].

    The weights say how much an example counts in the gradient that inner steps follow: 0 to 2, 1 at
    first. They are None unless `weigh` is set.
    """

    n_classes: int
    width: int
    features: nn.Module  # examples [n, F] -> features [n, W]
    n_queries: int
    dtype: jnp.dtype = jnp.float32
    weigh: bool = False

    @nn.compact
    def __call__(self, support: Examples) -> tuple[jax.Array, jax.Array | None]:
        batch, n = support.labels.shape
        examples.check(support, (batch,))
        membership = jax.nn.one_hot(support.labels, self.n_classes, dtype=jnp.float32)
        membership = membership * support.mask[..., None]  # [B, n, K]
        features = self.features(support.inputs.reshape(batch * n, -1))  # [B * n, W]

        scores = nn.Dense(1, dtype=self.dtype, name="class_score")(features)
        attention = _masked_softmax(scores.reshape(batch, n, 1).astype(jnp.float32), membership)
        mean = membership / jnp.maximum(jnp.sum(membership, axis=1, keepdims=True), 1)
        weights = jnp.concatenate([mean, attention], axis=-1)  # [B, n, 2K]
        pooled = _pool(weights, features.reshape(batch, n, -1), self.dtype)  # [B, 2K, F]
        pooled = pooled.reshape(batch, 2, self.n_classes, -1)
        pooled = jnp.concatenate([pooled[:, 0], pooled[:, 1]], axis=-1)  # [B, K, 2F]
        label = self.param(
            "label", nn.initializers.normal(1.0), (self.n_classes, self.width), jnp.float32
        )
        tokens = nn.Dense(self.width, dtype=self.dtype, name="class_out")(
            pooled.reshape(batch * self.n_classes, -1)
        ).reshape(batch, self.n_classes, -1)
        tokens = nn.LayerNorm(dtype=self.dtype, name="class_norm")(tokens)
        tokens = tokens + label[None].astype(self.dtype)
        example_weights = None
        if self.weigh:
            own = jnp.einsum("bnk,bkw->bnw", membership, tokens.astype(jnp.float32))
            seen = jnp.concatenate([features.reshape(batch, n, -1).astype(jnp.float32), own], -1)
            hidden = nn.gelu(nn.Dense(self.width, name="weight_hidden")(seen))
            found = nn.Dense(1, kernel_init=nn.initializers.zeros, name="weight")(hidden)
            example_weights = 2 * nn.sigmoid(found[..., 0])
        if not self.n_queries:
            return tokens, example_weights

        labelled = features + nn.Dense(
            features.shape[-1], use_bias=False, dtype=self.dtype, name="label_features"
        )(membership.reshape(batch * n, -1))
        scores = nn.Dense(self.n_queries, dtype=self.dtype, name="query_score")(nn.gelu(labelled))
        scores = scores.reshape(batch, n, -1).astype(jnp.float32)
        attention = _masked_softmax(scores, support.mask[..., None].astype(jnp.float32))
        pooled = _pool(attention, labelled.reshape(batch, n, -1), self.dtype)  # [B, Q, F]
        overall = nn.Dense(self.width, dtype=self.dtype, name="query_out")(
            pooled.reshape(batch * self.n_queries, -1)
        ).reshape(batch, self.n_queries, -1)
        overall = nn.LayerNorm(dtype=self.dtype, name="query_norm")(overall)
        place = self.param(
            "place", nn.initializers.normal(1.0), (self.n_queries, self.width), jnp.float32
        )
        context = jnp.concatenate([tokens, overall + place[None].astype(self.dtype)], axis=1)
        return context, example_weights


def _masked_softmax(scores: jax.Array, mask: jax.Array) -> jax.Array:
    """Softmax over examples (axis 1) of scores [B, n, *] where mask [B, n, *] is not zero."""
    scores = jnp.where(mask > 0, scores, -1e9)
    weights = jnp.exp(scores - jnp.max(scores, axis=1, keepdims=True)) * (mask > 0)
    return weights / jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1e-9)


def _pool(weights: jax.Array, values: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Weighted sums over examples: [B, n, Q], [B, n, F] -> [B, Q, F]."""
    return jnp.einsum("bnq,bnf->bqf", weights.astype(dtype), values)
