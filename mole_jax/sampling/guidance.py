"""Sampling from a meta-model, with classifier-free guidance (Ho & Salimans 2022)."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.process import prompt as prompt_lib
from mole_jax.metamodel.process import sampler
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.representation.normalise import Normaliser


@functools.partial(jax.jit, static_argnums=(0, 1))
def sample(
    model: MetaModel,
    plan: Plan,
    params: Any,
    normaliser: Normaliser,
    prompt: Prompt,
    key: jax.Array,
) -> jax.Array:
    """Draw one network for each of B prompts; a `regression` model needs one step only.

    Args:
        model: the meta-model.
        plan: sampler, steps, guidance.
        params: trained parameters (usually the moving average).
        normaliser: of the zoo.
        prompt: B prompts.
        key: PRNG key.

    Returns:
        [B, L, C] normalised tokens.
    """
    shape = (len(prompt.start), *model.codec.table.shape)
    prompt_lib.check(prompt, shape)

    def estimate(noisy: jax.Array, t: jax.Array) -> jax.Array:
        times = jnp.full(shape[:1], t)
        given = model.clean_estimate(params, normaliser, noisy, times, prompt)
        if plan.guidance == 1.0:
            return given
        nothing = jnp.zeros(shape[:1], bool)
        use = {"support": nothing, "target_metric": nothing, "start": prompt.use["start"]}
        free = model.clean_estimate(params, normaliser, noisy, times, prompt._replace(use=use))
        return free + plan.guidance * (given - free)

    if model.objective == "regression":
        return estimate(jnp.zeros(shape), jnp.ones(()))
    return sampler.sample(estimate, model.process, plan, model.codec.mask, shape[0], key)
