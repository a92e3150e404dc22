"""The compiled parts of prediction: from prompts to parameters, and how good these are."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.process.prompt import CONDITIONS, Prompt
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.representation.normalise import Normaliser
from mole_jax.sampling import guidance
from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network


def generate(
    metamodel: MetaModel,
    plan: Plan,
    params: Any,
    normaliser: Normaliser,
    *,
    starts: jax.Array,
    start_metric: jax.Array,
    target_metric: jax.Array,
    support: Examples,
    key: jax.Array,
    use: dict[str, jax.Array] | None = None,
) -> jax.Array:
    """Sample the parameters of B networks.

    Args:
        metamodel: the meta-model, with its `params` and `normaliser`.
        plan: how to sample.
        params: trained parameters.
        normaliser: of the zoo.
        starts: [B, D] parameters to update from.
        start_metric: [B] their loss.
        target_metric: [B] the loss asked for.
        support: leaves [B, m, ...].
        key: PRNG key.
        use: which conditions are present; all by default.

    Returns:
        [B, D] parameters.
    """
    if use is None:
        use = {name: jnp.ones((len(starts),), bool) for name in CONDITIONS}
    return _generate(
        metamodel,
        plan,
        params,
        normaliser,
        starts,
        Prompt(starts, start_metric, target_metric, support, use),
        key,
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _generate(
    metamodel: MetaModel,
    plan: Plan,
    params: Any,
    normaliser: Normaliser,
    starts: jax.Array,
    prompt: Prompt,
    key: jax.Array,
) -> jax.Array:
    tokens = metamodel.codec.encode(normaliser.normalise(starts))
    prompt = prompt._replace(start=tokens)
    return metamodel.networks(
        normaliser, guidance.sample(metamodel, plan, params, normaliser, prompt, key)
    )


@functools.partial(jax.jit, static_argnums=0)
def quality(network: Network, flat: jax.Array, support: Examples) -> tuple[jax.Array, jax.Array]:
    """Loss and accuracy of networks [n, D] on a support set, each [n]."""
    logits = jax.vmap(network.apply, in_axes=(0, None))(
        network.spec.unflatten(flat), support.inputs
    )
    return loss_and_accuracy(logits, support.labels, support.mask)
