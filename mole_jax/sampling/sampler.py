"""Few-step samplers with guidance (Song et al. 2021; Ho et al. 2020; Ho & Salimans 2022)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.metamodel.model import MetaModel
from mole_jax.metamodel.prompt import Prompt
from mole_jax.representation.normalise import Normaliser

SAMPLERS = ("ddim", "ancestral")


@dataclasses.dataclass(frozen=True)
class Plan:
    """How to sample: the static choices of `config.sampling`."""

    name: str = "ddim"
    steps: int = 10
    guidance: float = 1.0  # 1: none; above, away from the estimate without support and target
    eta: float = 0.0  # ddim's share of fresh noise: 0 is deterministic given the first noise


DEFAULT = Plan()


def plan(config: Mapping[str, Any], n_steps: int) -> Plan:
    """The plan of `config.sampling` for a process of `n_steps`.

    Raises:
        UserError: for an unknown sampler or impossible steps.
    """
    if config["name"] not in SAMPLERS:
        raise UserError(f"sampling.name={config['name']!r} is unknown; there are {SAMPLERS}")
    if not 1 <= config["steps"] <= n_steps:
        raise UserError(
            f"sampling.steps={config['steps']} must lie in 1..diffusion.steps={n_steps}"
        )
    if not np.isfinite(config["guidance"]):
        raise UserError(f"sampling.guidance={config['guidance']} must be a number")
    if not 0 <= config["eta"] <= 1:
        raise UserError(f"sampling.eta={config['eta']} must lie in [0, 1]")
    return Plan(config["name"], config["steps"], config["guidance"], config["eta"])


@functools.partial(jax.jit, static_argnums=(0, 1))
def sample(
    model: MetaModel,
    plan: Plan,
    params: Any,
    normaliser: Normaliser,
    prompt: Prompt,
    key: jax.Array,
) -> jax.Array:
    """Draw one network for each of B prompts.

    `ddim` follows Song et al. 2021 (eq. 12); `ancestral` is the same with eta = 1, the posterior
    of Ho et al. 2020 on the chosen steps. A `regression` model needs one step only.

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
    shape = prompt.start.shape
    mask = jnp.asarray(model.codec.mask)[None]
    first_key, key = jax.random.split(key)
    noisy = jax.random.normal(first_key, shape) * mask

    def estimate(noisy: jax.Array, t: jax.Array) -> jax.Array:
        times = jnp.full(shape[:1], t)
        given = model.clean_estimate(params, normaliser, noisy, times, prompt)
        if plan.guidance == 1.0:
            return given
        nothing = jnp.zeros(shape[:1], bool)
        use = {"support": nothing, "target_metric": nothing, "start": prompt.use["start"]}
        free = model.clean_estimate(params, normaliser, noisy, times, prompt._replace(use=use))
        return free + plan.guidance * (given - free)

    last = jnp.asarray(model.process.n_steps - 1)
    if model.objective == "regression":
        return estimate(noisy, last)

    eta = 1.0 if plan.name == "ancestral" else plan.eta
    # Evenly from pure noise down, but not to t = 0 (Lin et al. 2024): there the noisy tokens are
    # the answer already, and a step that asks what they mean is wasted.
    times = np.linspace(model.process.n_steps - 1, -1, plan.steps + 1)[:-1]
    times = np.round(times).astype(np.int32)
    a = model.process.alpha_bar[times].astype(np.float32)
    a_next = np.append(a[1:], np.float32(1.0))

    def step(carry: tuple[jax.Array, jax.Array], xs: Any) -> tuple[Any, None]:
        noisy, key = carry
        t, a, a_next = xs
        clean = estimate(noisy, t)
        noise = (noisy - jnp.sqrt(a) * clean) / jnp.sqrt(1 - a)
        sigma = eta * jnp.sqrt((1 - a_next) / (1 - a) * (1 - a / a_next))
        key, step_key = jax.random.split(key)
        fresh = jax.random.normal(step_key, shape) * mask
        direction = jnp.sqrt(jnp.maximum(1 - a_next - sigma**2, 0.0)) * noise
        # At the last step a_next = 1, so what remains is the clean estimate itself.
        return (jnp.sqrt(a_next) * clean + direction + sigma * fresh, key), None

    (tokens, _), _ = jax.lax.scan(step, (noisy, key), (times, a, a_next))
    return tokens
