"""What the meta-model is trained to do: recover the target's weights and its function."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax.metamodel.model import MetaModel
from mole_jax.metamodel.pairs import Pairs
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks import outputs


def loss(
    model: MetaModel,
    normaliser: Normaliser,
    params: Any,
    pairs: Pairs,
    key: jax.Array,
    function_weight: float,
    time_power: float,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean loss of a batch.

    Two terms. The squared error of the clean estimate in normalised weights (the diffusion loss);
    and the divergence between the outputs of the estimated and of the target network on training
    images of the data subset. Weights matter very unequally to a network's function, and the
    second term tells the model which do.

    Diffusion times are u^time_power for uniform u: below 1, more of them are noisy. What the
    conditions say is all there is at high noise, whereas at low noise the answer is in the input.

    Args:
        model: what is trained.
        normaliser: of the zoo.
        params: of the module.
        pairs: a batch.
        key: PRNG key, of the times and of the noise.
        function_weight: weight of the second term.
        time_power: positive; 1 draws uniformly.

    Returns:
        The loss [] and its parts, for the log.
    """
    time_key, noise_key = jax.random.split(key)
    clean = model.codec.encode(pairs.target)  # [B, L, C]
    u = jax.random.uniform(time_key, clean.shape[:1]) ** time_power
    t = jnp.minimum((u * model.process.n_steps).astype(jnp.int32), model.process.n_steps - 1)
    noise = jax.random.normal(noise_key, clean.shape)
    noisy = model.process.add_noise(clean, noise, t) * model.codec.mask[None]
    estimate = model.clean_estimate(params, normaliser, noisy, t, pairs.prompt)

    error = (estimate - clean) ** 2  # zero in the padding
    weight = model.loss_weight(normaliser, t, pairs.prompt)
    n = model.codec.mask.sum() * len(error)
    weights_term = jnp.sum(weight * error) / n
    parts = {"weights": jnp.sum(error) / n}
    if not function_weight:
        return weights_term, parts | {"loss": weights_term}
    divergence = jnp.mean(function_divergence(model, normaliser, estimate, pairs))
    total = weights_term + function_weight * divergence
    return total, parts | {"function": divergence, "loss": total}


def function_divergence(
    model: MetaModel, normaliser: Normaliser, estimate: jax.Array, pairs: Pairs
) -> jax.Array:
    """How far the estimate's outputs are from the target's, mean over inputs: [B]."""
    network = model.network
    wanted = network.spec.unflatten(normaliser.denormalise(pairs.target))
    given = network.spec.unflatten(model.networks(normaliser, estimate))
    apart = functools.partial(outputs.divergence, network)
    return jnp.mean(jax.vmap(apart)(wanted, given, pairs.images), axis=-1)
