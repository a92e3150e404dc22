"""Few-step samplers: from noise to data along a process, given an estimate of the clean data.

Song et al. 2021 (DDIM), Ho et al. 2020 (ancestral), Karras et al. 2022 (Heun). A sampler is a table
of numbers, one row for each evaluation of the model; `walk` follows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import compat, given, rng
from mole_jax.core.errors import UserError
from mole_jax.metamodel.process.noising import Process

# Beyond +-this, estimates are far from all training data and may overflow.
GUIDANCE = 100.0
SAMPLERS = ("ddim", "ancestral", "ancestral_large", "heun")


# Keys of `config.sampling`, and the prompt condition that each is for.
GUIDES = {
    "guidance_support": "support",
    "guidance_target": "target_metric",
    "guidance_best": "target_metric",
    "guidance_start": "start",
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """How to sample: the static choices of `config.sampling`."""

    name: str = "ddim"
    steps: int = 1
    guidance: float = 1.0  # 1: none; above: away from the estimate without support and target
    eta: float = 0.0  # ddim's share of fresh noise: 0 is deterministic given the first noise
    guidance_support: float = 1.0  # the same by one condition: away from the estimate without it
    guidance_target: float = 1.0
    guidance_best: float = 1.0  # replaces guidance_target in prompts that ask for the best
    guidance_start: float = 1.0

    @property
    def evaluations(self) -> int:
        """How often the model is evaluated: twice in each step of Heun but the last."""
        return 2 * self.steps - 1 if self.name == "heun" else self.steps

    @property
    def guided(self) -> str:
        """Its guidance in words."""
        alone = [f"{key}={getattr(self, key):g}" for key in GUIDES if getattr(self, key) != 1]
        return ", ".join([f"guidance={self.guidance:g}", *alone])

    @property
    def guides(self) -> dict[str, tuple[float, float]]:
        """The conditions with guidance of their own, and its weights.

        The first weight is for prompts with a number, the second for those that ask for the best.
        """
        found = {
            "support": (self.guidance_support, self.guidance_support),
            "target_metric": (self.guidance_target, self.guidance_best),
            "start": (self.guidance_start, self.guidance_start),
        }
        return {condition: weights for condition, weights in found.items() if weights != (1, 1)}


DEFAULT = Plan()

# Noisy data [B, ...] at time t [] -> the estimate of the clean data [B, ...].
Estimate = Callable[[jax.Array, jax.Array], jax.Array]


def plan(config: Mapping[str, Any], n_steps: int, drop: Mapping[str, float] | None = None) -> Plan:
    """Return the plan of `config.sampling` for a process of `n_steps`.

    `drop` is how often training leaves each condition out; None if unknown.

    Raises:
        UserError: for an unknown sampler, impossible steps, and guidance by a condition that
            training never left out.
    """
    if config["name"] not in SAMPLERS:
        raise UserError(f"sampling.name={config['name']!r} is unknown; there are {SAMPLERS}")
    steps = given.whole("sampling.steps", config["steps"], 1, n_steps)  # diffusion.steps
    guidance = given.real("sampling.guidance", config["guidance"], -GUIDANCE, GUIDANCE)
    eta = given.real("sampling.eta", config["eta"], 0, 1)
    if eta and config["name"] == "heun":
        raise UserError(
            f"sampling.eta={config['eta']} adds fresh noise, and sampling.name='heun' takes none; "
            "set it to 0, or the name to ddim"
        )
    alone = {}
    for key, condition in GUIDES.items():
        value = compat.get_from(config, "sampling", key)
        alone[key] = given.real(f"sampling.{key}", value, -GUIDANCE, GUIDANCE)
        if alone[key] != 1 and drop is not None and not drop[condition]:
            raise UserError(
                f"sampling.{key}={value:g} compares with an estimate that lacks the condition, but "
                f"with training.drop.{condition}=0 the model never lacked it; set it to 1"
            )
    return Plan(config["name"], steps, guidance, eta, **alone)


class Steps(NamedTuple):
    """What to do with each of E estimates of the clean data: [E] float64 each.

    next = clean * estimate + noisy * x + before * the estimate before it + fresh * noise
    """

    time: np.ndarray  # of the estimate
    clean: np.ndarray
    noisy: np.ndarray
    before: np.ndarray
    fresh: np.ndarray


def steps_of(process: Process, plan: Plan) -> Steps:
    """Return the steps of a plan.

    `ddim` follows Song et al. 2021 (eq. 12); with schedule `flow` it is Euler's method for the flow
    (Lipman et al. 2023). `ancestral` is `ddim` with eta = 1, the posterior of Ho et al. 2020 on
    the chosen steps; `ancestral_large` has the variance of the forward process instead, as G.pt
    does at every time of the grid. `heun` corrects every step of `ddim` but the last by the slope
    at its end (Karras et al. 2022, algorithm 1 without fresh noise).
    """
    # Evenly from pure noise down, but not to t = 0 (Lin et al. 2024): there the noisy data are the
    # answer already, and a step would be wasted.
    grid = np.linspace(process.n_steps - 1, -1, plan.steps + 1)[:-1].round().astype(int)
    time = process.time(grid)
    # The last step ends without noise, so what remains is the clean estimate itself.
    alpha, sigma = np.append(process.alpha[grid], 1.0), np.append(process.sigma[grid], 0.0)
    if plan.name == "heun":
        return _heun(time, alpha, sigma, process.straight)
    if plan.name == "ancestral_large":
        return _ddim(time, alpha, sigma, 1.0)._replace(fresh=_large(alpha, sigma))
    return _ddim(time, alpha, sigma, 1.0 if plan.name == "ancestral" else plan.eta)


def sample(
    estimate: Estimate, process: Process, plan: Plan, mask: np.ndarray, n: int, key: jax.Array
) -> jax.Array:
    """Draw n samples, given an estimate of the clean data.

    Args:
        estimate: noisy data [n, ...] and their time [] -> clean data [n, ...].
        process: the noising that the estimate undoes.
        plan: sampler and steps; its guidance is up to the estimate.
        mask: [...] False in the padding of an example.
        n: how many.
        key: PRNG key.

    Returns:
        [n, ...]
    """
    steps, shape = steps_of(process, plan), (n, *mask.shape)
    first_key, key = jax.random.split(key)

    def noise(key: jax.Array) -> jax.Array:
        return jax.random.normal(key, shape) * jnp.asarray(mask)[None]

    # By number here, in a chain below: a key keeps giving the networks that it always gave.
    if plan.name == "ancestral_large":
        return walk(estimate, noise(first_key), steps, lambda i: noise(rng.at(key, "step", i)))
    keys: jax.Array
    _, keys = jax.lax.scan(lambda k, _: tuple(jax.random.split(k)), key, length=len(steps.time))
    return walk(estimate, noise(first_key), steps, lambda i: noise(keys[i]))


def walk(
    estimate: Estimate, noisy: jax.Array, steps: Steps, fresh: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    """Follow the steps from noisy data [B, ...] to clean data [B, ...].

    Args:
        estimate: noisy data and their time [] -> clean data.
        noisy: at the first of the times.
        steps: what to do with each estimate.
        fresh: number of a step [] -> its noise [B, ...]; the last step takes none.
    """
    share = np.append(steps.fresh[:-1], 0.0)

    def step(carry: tuple[jax.Array, jax.Array], xs: Any) -> tuple[Any, None]:
        noisy, before = carry
        number, row = xs
        clean = estimate(noisy, row.time)
        after = row.clean * clean + row.noisy * noisy + row.before * before
        if share.any():
            after += row.fresh * fresh(number)
        return (after, clean), None

    rows = Steps(*(x.astype(np.float32) for x in steps._replace(fresh=share)))
    xs = (np.arange(len(share)), rows)  # in one scan, so that the model is compiled once
    return jax.lax.scan(step, (noisy, jnp.zeros_like(noisy)), xs)[0][0]


def _ddim(time: np.ndarray, alpha: np.ndarray, sigma: np.ndarray, eta: float) -> Steps:
    """Return the steps at times [S], alpha and sigma there and after the last [S + 1].

    The noise follows from x = alpha x_0 + sigma noise; the next x is alpha' x_0 + sigma' noise,
    with a share of that noise fresh.
    """
    fresh = eta * np.sqrt(_forward(alpha, sigma)) * sigma[1:] / sigma[:-1]
    kept = np.sqrt(np.maximum(sigma[1:] ** 2 - fresh**2, 0.0)) / sigma[:-1]
    return Steps(time, alpha[1:] - kept * alpha[:-1], kept, 0 * kept, fresh)


def _forward(alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return the variance that the noising adds in each step: [S]."""
    return sigma[:-1] ** 2 - (alpha[:-1] / alpha[1:] * sigma[1:]) ** 2


def _large(alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return the standard deviations of the forward process [S].

    The last step, which ends without noise, takes the posterior's of one step before, as in
    Nichol & Dhariwal 2021.
    """
    forward = np.sqrt(_forward(alpha, sigma))
    posterior = forward * sigma[1:] / sigma[:-1]
    return np.append(forward[:-1], posterior[-2:][0])


def _heun(time: np.ndarray, alpha: np.ndarray, sigma: np.ndarray, straight: bool) -> Steps:
    """Return the steps of `ddim`, each but the last followed by its correction; arguments as there.

    The slope is that of x / alpha in sigma / alpha, or that of x in sigma where paths are straight
    (sigma / alpha would begin near infinity there). A step of `ddim` follows the slope at its
    beginning. The correction replaces it by the mean of the slopes at both ends; it is proportional
    to the difference of the two estimates.
    """
    euler, level = _ddim(time, alpha, sigma, 0.0), sigma / alpha
    unit = alpha[:-2] if straight else alpha[1:-1]
    half = unit * (level[:-2] / level[1:-1] - 1) / 2  # [S - 1]
    correction = Steps(time[1:], half, np.ones_like(half), -half, 0 * half)
    return Steps(
        *(np.insert(x, np.arange(1, len(time)), y) for x, y in zip(euler, correction, strict=True))
    )
