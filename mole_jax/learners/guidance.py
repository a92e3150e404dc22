"""Sampling from a meta-model, with classifier-free guidance (Ho & Salimans 2022)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.process import prompt as prompt_lib
from mole_jax.metamodel.process import sampler
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.metamodel.process.sampler import Plan


def sample(model: MetaModel, plan: Plan, params: Any, prompt: Prompt, key: jax.Array) -> jax.Array:
    """Draw one network for each of B prompts; a noiseless model needs one step only.

    Args:
        model: the meta-model.
        plan: sampler, steps, guidance.
        params: trained parameters (usually the moving average).
        prompt: B prompts.
        key: PRNG key.

    Returns:
        [B, L, C] normalised tokens.
    """
    shape = (len(prompt.start), *model.shape)
    prompt_lib.check(prompt, shape)

    def estimate(noisy: jax.Array, t: jax.Array) -> jax.Array:
        times = jnp.full(shape[:1], t)
        given = model.clean_estimate(params, noisy, times, prompt)
        nothing = jnp.zeros(shape[:1], bool)

        def without(*conditions: str) -> jax.Array:
            use = {**prompt.use, **dict.fromkeys(conditions, nothing)}
            return model.clean_estimate(params, noisy, times, prompt._replace(use=use))

        found = given
        if plan.guidance != 1.0:
            free = without("support", "target_metric")
            found = free + plan.guidance * (given - free)
        # Each of several conditions adds its own part (Liu et al. 2022, here given the others).
        for condition, (weight, of_best) in plan.guides.items():
            each = jnp.full(shape[:1], weight)
            if prompt.best is not None:
                each = jnp.where(prompt.best, of_best, each)
            elif weight == 1:
                continue
            found = found + (each - 1)[:, None, None] * (given - without(condition))
        return found

    if model.noiseless:
        return estimate(jnp.zeros(shape), jnp.ones(()))
    return sampler.sample(
        estimate, model.process, plan, model.representation.layout.mask, shape[0], key
    )
