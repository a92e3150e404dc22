"""The denoising loss: recover the target's weights and its function."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.tasks import outputs
from mole_jax.training.pairs import Pairs


class Noise(NamedTuple):
    """The random part of a batch's loss."""

    t: jax.Array  # [B] in [0, 1]
    noise: jax.Array  # [B, L, C]


def encoded(model: MetaModel, pairs: Pairs) -> Pairs:
    """Return the pairs with their starts [B, D] encoded to tokens [B, L, C]."""
    start = model.representation.encode(pairs.prompt.start)
    return pairs._replace(prompt=pairs.prompt._replace(start=start))


def draw_noise(model: MetaModel, batch: int, key: jax.Array, time_power: float) -> Noise:
    """Draw times and noise for a whole batch.

    Diffusion times are u^time_power for uniform u: below 1, more of them are noisy. At high noise
    the conditions are all there is to go by; at low noise the answer is in the input.

    Args:
        model: what is trained.
        batch: B.
        key: PRNG key.
        time_power: positive; 1 draws uniformly.
    """
    time_key, noise_key = jax.random.split(key)
    u = jax.random.uniform(time_key, (batch,)) ** time_power
    step = jnp.minimum((u * model.process.n_steps).astype(jnp.int32), model.process.n_steps - 1)
    t = model.process.time(step)
    return Noise(t, jax.random.normal(noise_key, (batch, *model.shape)))


def loss(
    model: MetaModel,
    params: Any,
    pairs: Pairs,
    noise: Noise,
    function_weight: float,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the mean loss of a batch.

    It has two terms: the squared error of the clean estimate in normalised weights (the diffusion
    loss), and the divergence between the outputs of the estimated and of the target network on
    training images of the data subset. Weights matter very unequally to a network's function, and
    the second term shows the model which ones matter.

    Args:
        model: what is trained.
        params: of the module.
        pairs: a batch, `encoded`.
        noise: of the same size.
        function_weight: weight of the second term.

    Returns:
        The loss [] and its parts, for the log.
    """
    dims = chex.Dimensions(B=len(pairs.target), F=model.network.n_inputs)
    dims["LC"] = model.shape
    message = "noise.t [B], noise.noise [B, L, C], pairs.images [B, m, F]"
    given, shapes = [*noise, pairs.images], [dims["B"], dims["BLC"], dims["B*F"]]
    chex.assert_shape(given, shapes, custom_message=message)
    clean, t = model.representation.encode(pairs.target), noise.t  # [B, L, C], [B]
    clean, mask = model.present(clean, pairs.prompt), model.mask(pairs.prompt)
    noisy = model.process.add_noise(clean, noise.noise, t) * mask
    estimate = model.clean_estimate(params, noisy, t, pairs.prompt)

    error = (estimate - clean) ** 2  # zero where the mask is
    weight = model.loss_weight(t, pairs.prompt)
    n = mask.sum() * (len(error) // len(mask))
    weights_term = jnp.sum(weight * error) / n
    parts = {"weights": jnp.sum(error) / n}
    if not function_weight:
        return weights_term, parts | {"loss": weights_term}
    divergence = jnp.mean(function_divergence(model, estimate, pairs))
    total = weights_term + function_weight * divergence
    return total, parts | {"function": divergence, "loss": total}


def function_divergence(model: MetaModel, estimate: jax.Array, pairs: Pairs) -> jax.Array:
    """Return the divergence of the estimate's outputs from the target's, mean over inputs: [B]."""
    network, tokens = model.network, model.representation
    target = network.spec.unflatten(tokens.denormalise(pairs.target))
    found = tokens.network(tokens.split(estimate))
    apart = functools.partial(outputs.divergence, network)
    n_classes = pairs.prompt.support.n_classes
    return jnp.mean(jax.vmap(apart)(target, found, pairs.images, n_classes), axis=-1)
