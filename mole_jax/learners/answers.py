"""Predict with a trained learner: one compiled call, for any learner."""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.numpy as jnp

from mole_jax.core.devices import flops as flops_lib
from mole_jax.metamodel.process.prompt import everything
from mole_jax.training.learner import Classifier, Episodes, Learner, Request


@jax.jit
def adapt(
    learner: Learner, theta: Any, episodes: Episodes, request: Request, key: jax.Array
) -> jax.Array:
    """Return the networks [B, D] that a learner with parameters theta gives for B episodes."""
    return learner.adapt(theta, episodes, request, key)


@jax.jit
def classify(
    learner: Classifier, theta: Any, episodes: Episodes, inputs: jax.Array, key: jax.Array
) -> jax.Array:
    """Return logits [B, m, K] of inputs [B, m, F] by a learner that writes no networks."""
    return learner.classify(theta, episodes, inputs, key)


def all_of(target_metric: jax.Array, *, best: bool = False) -> Request:
    """Return a request for metrics [B] in which all conditions of an episode may be used.

    With `best` it asks for the best that a learner can give, and the metrics are placeholders.
    """
    batch = len(target_metric)
    return Request(target_metric, everything(batch), jnp.full((batch,), best))


def flops(learner: Learner, theta: Any, episodes: Episodes) -> float:
    """Return the FLOPs of one call for these episodes; see `flops.count` for what is counted.

    A learner that writes no networks classifies one input of each episode.
    """
    key = jax.random.key(0)
    if learner.writes_networks:
        request = all_of(episodes.start_metric)
        traced = adapt.trace(learner, theta, episodes, request, key)
    else:
        one = jnp.broadcast_to(
            episodes.support.inputs[:, :1],
            (len(episodes.start), 1, episodes.support.inputs.shape[-1]),
        )
        traced = classify.trace(cast(Classifier, learner), theta, episodes, one, key)
    return flops_lib.of(traced.jaxpr.jaxpr)
