"""Few-step samplers with guidance.

Song et al. 2021 (DDIM), Ho et al. 2020 (ancestral), Karras et al. 2022 (Heun), Ho & Salimans 2022.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import given, rng
from mole_jax.core.errors import UserError
from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.process import diffusion
from mole_jax.metamodel.process import prompt as prompt_lib
from mole_jax.metamodel.process.diffusion import Reverse
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.representation.normalise import Normaliser

# Beyond it, either way, estimates are far from all that was trained on, and may overflow.
GUIDANCE = 100.0
SAMPLERS = ("ddim", "ancestral", "ancestral_large", "heun")


@dataclasses.dataclass(frozen=True)
class Plan:
    """How to sample: the static choices of `config.sampling`."""

    name: str = "ddim"
    steps: int = 10
    guidance: float = 1.0  # 1: none; above, away from the estimate without support and target
    eta: float = 0.0  # ddim's share of fresh noise: 0 is deterministic given the first noise

    @property
    def evaluations(self) -> int:
        """How often a network is estimated on the way: Heun's steps but the last do so twice."""
        return 2 * self.steps - 1 if self.name == "heun" else self.steps


DEFAULT = Plan()

# Noisy tokens [B, L, C] at diffusion step t [] -> the clean estimate [B, L, C].
Estimate = Callable[[jax.Array, jax.Array], jax.Array]


def plan(config: Mapping[str, Any], n_steps: int) -> Plan:
    """The plan of `config.sampling` for a process of `n_steps`.

    Raises:
        UserError: for an unknown sampler or impossible steps.
    """
    if config["name"] not in SAMPLERS:
        raise UserError(f"sampling.name={config['name']!r} is unknown; there are {SAMPLERS}")
    steps = given.whole("sampling.steps", config["steps"], 1, n_steps)  # diffusion.steps
    guidance = given.real("sampling.guidance", config["guidance"], -GUIDANCE, GUIDANCE)
    eta = given.real("sampling.eta", config["eta"], 0, 1)
    if eta and config["name"] == "heun":
        raise UserError(
            f"sampling.eta={config['eta']} is fresh noise, and sampling.name='heun' takes none; "
            "set it to 0, or the name to ddim"
        )
    return Plan(config["name"], steps, guidance, eta)


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
    of Ho et al. 2020 on the chosen steps; `heun` corrects every step of `ddim` but the last by the
    slope where it ends (Karras et al. 2022, algorithm 1 without fresh noise), which takes
    `plan.evaluations` of the model; `ancestral_large` is ancestral sampling with the variance of
    the forward process, as G.pt does it, in as many steps as the diffusion has. A `regression`
    model needs one step only.

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

    # Evenly from pure noise down, but not to t = 0 (Lin et al. 2024): there the noisy tokens are
    # the answer already, and a step that asks what they mean is wasted.
    times = np.linspace(model.process.n_steps - 1, -1, plan.steps + 1)[:-1]
    times = np.round(times).astype(np.int32)
    # At the last step the next signal is 1, so what remains is the clean estimate itself.
    signal = np.append(model.process.alpha_bar[times], 1.0)
    if plan.name == "heun":
        return _heun(estimate, noisy, times, signal)
    if plan.name == "ancestral_large":
        steps = diffusion.reverse(signal, "fixed_large")

        def fresh(step: jax.Array) -> jax.Array:
            return jax.random.normal(rng.at(key, "step", step), shape) * mask

        return ancestral(estimate, noisy, times, steps, fresh)
    eta = 1.0 if plan.name == "ancestral" else plan.eta
    return _ddim(estimate, noisy, times, signal, eta, mask, key)


def ancestral(
    estimate: Estimate,
    noisy: jax.Array,
    times: np.ndarray,
    steps: Reverse,
    fresh: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """Ancestral sampling (Ho et al. 2020, algorithm 2), of anything: [B, ...].

    Args:
        estimate: x_t and t [] -> the estimate of x_0.
        noisy: x_t at the first of the times.
        times: [S] int, falling.
        steps: what to do at each, see `diffusion.reverse`.
        fresh: number of a step [] -> its noise; the last step's is not used.
    """
    spread = np.sqrt(steps.variance)
    spread[-1] = 0.0

    def step(noisy: jax.Array, xs: Any) -> tuple[jax.Array, None]:
        number, t, of_clean, of_noisy, spread = xs
        mean = of_clean * estimate(noisy, t) + of_noisy * noisy
        return mean + spread * fresh(number), None

    rates = (x.astype(np.float32) for x in (steps.clean, steps.noisy, spread))
    xs = (np.arange(len(times)), times.astype(np.int32), *rates)
    return jax.lax.scan(step, noisy, xs)[0]


def _ddim(
    estimate: Estimate,
    noisy: jax.Array,
    times: np.ndarray,
    signal: np.ndarray,
    eta: float,
    mask: jax.Array,
    key: jax.Array,
) -> jax.Array:
    """Steps at times [S], signals (alpha_bar) there and after the last [S + 1]."""

    def step(carry: tuple[jax.Array, jax.Array], xs: Any) -> tuple[Any, None]:
        noisy, key = carry
        t, a, a_next = xs
        clean = estimate(noisy, t)
        noise = (noisy - jnp.sqrt(a) * clean) / jnp.sqrt(1 - a)
        sigma = eta * jnp.sqrt((1 - a_next) / (1 - a) * (1 - a / a_next))
        key, step_key = jax.random.split(key)
        fresh = jax.random.normal(step_key, noisy.shape) * mask
        direction = jnp.sqrt(jnp.maximum(1 - a_next - sigma**2, 0.0)) * noise
        return (jnp.sqrt(a_next) * clean + direction + sigma * fresh, key), None

    a = signal.astype(np.float32)
    (tokens, _), _ = jax.lax.scan(step, (noisy, key), (times, a[:-1], a[1:]))
    return tokens


def _heun(estimate: Estimate, noisy: jax.Array, times: np.ndarray, signal: np.ndarray) -> jax.Array:
    """Arguments as of `_ddim`.

    With x / sqrt(a) for the variable and s = sqrt(1 / a - 1) for the time, the slope of the
    probability flow is the estimated noise e, and an Euler step from s to s' is one of `ddim`.
    Heun's goes along the mean of the slopes e and e' at its two ends, so it adds
    (s' - s) / 2 (e' - e) to it, times sqrt(a') in units of x.

    Predicting and correcting take turns in one scan, so that the model is compiled once.
    """
    a, after = signal[:-1], signal[1:]
    level = np.sqrt(1 / signal - 1)
    half = np.sqrt(after) * (level[1:] - level[:-1]) / 2  # [S]

    def turns(predicting: np.ndarray, correcting: np.ndarray) -> np.ndarray:
        """Predict, correct, predict, ..., predict: [S], [S - 1] -> [2 S - 1]."""
        both = np.stack([predicting[:-1], correcting], axis=1).reshape(-1)
        return np.append(both, predicting[-1])

    xs = (
        turns(times, times[1:]),
        turns(a, a[1:]).astype(np.float32),
        turns(after, a[1:]).astype(np.float32),
        turns(0 * half, half[:-1]).astype(np.float32),
        turns(np.zeros(len(times), bool), np.ones(len(times) - 1, bool)),
    )

    def turn(carry: tuple[jax.Array, jax.Array], xs: Any) -> tuple[Any, None]:
        noisy, before = carry  # before: the noise where the step began
        t, a, a_next, half, corrects = xs
        clean = estimate(noisy, t)
        noise = (noisy - jnp.sqrt(a) * clean) / jnp.sqrt(1 - a)
        predicted = jnp.sqrt(a_next) * clean + jnp.sqrt(1 - a_next) * noise
        corrected = noisy + half * (noise - before)
        return (jnp.where(corrects, corrected, predicted), noise), None

    (tokens, _), _ = jax.lax.scan(turn, (noisy, jnp.zeros_like(noisy)), xs)
    return tokens
