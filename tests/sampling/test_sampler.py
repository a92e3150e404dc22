"""Samplers: what they return when the model is right, and what their settings do."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.process import diffusion
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.sampling import sampler
from mole_jax.sampling.sampler import Plan
from tests import tiny

BATCH = 3


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    return tiny.made_up()


@pytest.fixture(scope="module")
def prompt(setting: tiny.Setting) -> Prompt:
    return tiny.prompts(setting.family, setting.model, BATCH)


def sample(
    setting: tiny.Setting, plan: Plan, prompt: Prompt, seed: int = 0, model: MetaModel | None = None
) -> jax.Array:
    return sampler.sample(
        model or setting.model,
        plan,
        setting.params,
        setting.normaliser,
        prompt,
        jax.random.key(seed),
    )


def gaussian(model: MetaModel, mean: float, deviation: float) -> MetaModel:
    """The exact model of independent normal weights: E[x_0 | x_t] in closed form."""

    def estimate(params: Any, normaliser: Any, noisy: jax.Array, t: jax.Array, *_: Any) -> Any:
        a = model.process.signal(t)[:, None, None]
        gain = jnp.sqrt(a) * deviation**2 / (a * deviation**2 + 1 - a)
        return (mean + gain * (noisy - jnp.sqrt(a) * mean)) * model.codec.mask[None]

    copy = dataclasses.replace(model)
    object.__setattr__(copy, "clean_estimate", estimate)
    return copy


@pytest.mark.parametrize("name", sampler.SAMPLERS)
@pytest.mark.parametrize("steps", [1, 4, 50])
def test_a_model_that_knows_the_answer_is_followed(
    setting: tiny.Setting, prompt: Prompt, name: str, steps: int
) -> None:
    answer = prompt.start * 2 + 1
    model = dataclasses.replace(setting.model)
    object.__setattr__(model, "clean_estimate", lambda *_: answer)
    found = sample(setting, Plan(name, steps, guidance=3.0), prompt, model=model)
    np.testing.assert_allclose(found, answer, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sampler.SAMPLERS)
def test_many_steps_draw_from_the_distribution_of_the_zoo(
    setting: tiny.Setting, prompt: Prompt, name: str
) -> None:
    """Mean and deviation of normal weights come out right, whichever way the noise goes in."""
    process = diffusion.build("cosine", 1000, "x0")
    model = gaussian(dataclasses.replace(setting.model, process=process), 0.5, 0.3)
    found = np.asarray(sample(setting, Plan(name, steps=200), prompt, model=model))
    values = found[:, model.codec.mask]
    assert abs(values.mean() - 0.5) < 0.05
    assert abs(values.std() - 0.3) < 0.05


def first_noise(setting: tiny.Setting, prompt: Prompt) -> np.ndarray:
    """What sampling begins with: the answer of a model that takes noise for the answer."""
    model = dataclasses.replace(setting.model)
    object.__setattr__(model, "clean_estimate", lambda params, normaliser, noisy, *_: noisy)
    return np.asarray(sample(setting, Plan(steps=1), prompt, model=model))


def test_heuns_error_falls_with_the_square_of_the_steps(
    setting: tiny.Setting, prompt: Prompt
) -> None:
    """Of normal weights the probability flow is known: x_t - sqrt(a) mean keeps its direction.

    The last step is Euler's, and its error the square of the noise that it begins with. So that
    this falls with the steps, noise here grows with t from the beginning: a = cos^2.
    """
    mean, deviation = 0.5, 0.3
    angle = np.linspace(0, 0.8, 4001)[1:] * np.pi / 2
    process = diffusion.Process(np.cos(angle) ** 2, "x0")
    model = gaussian(dataclasses.replace(setting.model, process=process), mean, deviation)
    mask = np.broadcast_to(model.codec.mask, prompt.start.shape)
    a = process.alpha_bar[-1]
    shrinks = deviation / np.sqrt(a * deviation**2 + 1 - a)
    exact = mean + shrinks * (first_noise(setting, prompt) - np.sqrt(a) * mean)

    def error(name: str, steps: int) -> float:
        found = np.asarray(sample(setting, Plan(name, steps), prompt, model=model))
        return float(np.abs(found - exact)[mask].max())

    heun, euler = (
        np.array([error(name, steps) for steps in (10, 20, 40)]) for name in ("heun", "ddim")
    )
    np.testing.assert_allclose(np.log2(heun[:-1] / heun[1:]), 2.0, atol=0.1)
    np.testing.assert_allclose(np.log2(euler[:-1] / euler[1:]), 1.0, atol=0.1)
    assert (heun < euler).all()


def test_one_step_of_heun_is_eulers(setting: tiny.Setting, prompt: Prompt) -> None:
    model = gaussian(setting.model, 0.5, 0.3)

    def apart(steps: int) -> float:
        plans = (Plan("heun", steps), Plan("ddim", steps))
        heun, euler = (sample(setting, plan, prompt, model=model) for plan in plans)
        return float(jnp.abs(heun - euler).max())

    assert apart(steps=1) == 0
    assert apart(steps=2) > 1e-3


def test_heun_corrects_where_a_step_ends(setting: tiny.Setting, prompt: Prompt) -> None:
    plan = Plan("heun", steps=3)
    seen = times_seen(setting, plan, prompt)
    assert seen == [49, 32, 32, 16, 16]
    assert len(seen) == plan.evaluations
    assert times_seen(setting, Plan(steps=3), prompt) == [49, 32, 16]


def test_guidance_of_one_is_none_and_more_is_something(
    setting: tiny.Setting, prompt: Prompt
) -> None:
    plain = sample(setting, Plan(steps=2), prompt)
    almost = sample(setting, Plan(steps=2, guidance=1.0 + 1e-6), prompt)
    more = sample(setting, Plan(steps=2, guidance=2.0), prompt)
    np.testing.assert_allclose(almost, plain, rtol=1e-3, atol=1e-3)
    assert float(jnp.abs(more - plain).max()) > 1e-3


def test_padding_stays_zero_and_keys_decide(setting: tiny.Setting, prompt: Prompt) -> None:
    plan = Plan("ancestral", steps=2)
    found = sample(setting, plan, prompt)
    assert found.shape == prompt.start.shape
    mask = np.broadcast_to(setting.model.codec.mask, found.shape)
    assert not mask.all()
    assert np.all(np.asarray(found)[~mask] == 0)
    np.testing.assert_array_equal(sample(setting, plan, prompt), found)
    assert not np.array_equal(sample(setting, plan, prompt, seed=1), found)


def test_regression_needs_no_noise(setting: tiny.Setting, prompt: Prompt) -> None:
    model = dataclasses.replace(setting.model, objective="regression")
    found = [sample(setting, Plan(steps=4), prompt, seed, model) for seed in (0, 1)]
    np.testing.assert_array_equal(*found)


def test_the_noise_falls_evenly_and_is_never_none(setting: tiny.Setting, prompt: Prompt) -> None:
    """Every step has something to say: the model is never shown the answer itself."""
    assert times_seen(setting, Plan(steps=5), prompt) == [49, 39, 29, 19, 9]


def times_seen(setting: tiny.Setting, plan: Plan, prompt: Prompt) -> list[int]:
    """The diffusion steps at which the model is asked."""
    seen: list[int] = []

    def estimate(params: Any, normaliser: Any, noisy: jax.Array, t: jax.Array, *_: Any) -> Any:
        jax.debug.callback(lambda t: seen.append(int(t[0])), t, ordered=True)
        return noisy

    model = dataclasses.replace(setting.model)
    object.__setattr__(model, "clean_estimate", estimate)
    jax.block_until_ready(sample(setting, plan, prompt, model=model))
    jax.effects_barrier()
    return seen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "euler"}, "sampling.name='euler'"),
        ({"steps": 0}, "sampling.steps=0"),
        ({"steps": 51}, "sampling.steps=51"),
        ({"eta": 1.5}, "sampling.eta=1.5"),
        ({"eta": 0.5, "name": "heun"}, "sampling.eta=0.5 is fresh noise"),
        ({"guidance": float("nan")}, "sampling.guidance=nan"),
    ],
)
def test_impossible_plans_are_refused(change: dict, message: str) -> None:
    settings = dataclasses.asdict(sampler.DEFAULT) | change
    with pytest.raises(UserError, match=message):
        sampler.plan(settings, 50)
