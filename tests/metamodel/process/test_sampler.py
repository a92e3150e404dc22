"""Samplers: where they end when the estimate is right, and what their settings do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.metamodel.process import noising, sampler
from mole_jax.metamodel.process.noise_schedule import SCHEDULES
from mole_jax.metamodel.process.noising import Process
from mole_jax.metamodel.process.sampler import Estimate, Plan
from tests import tiny

N = 5
MASK = np.array([[True, True, True], [True, False, False]])
MEAN, DEVIATION = 0.5, 0.3


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


def sample(
    estimate: Estimate, process: Process, plan: Plan, seed: int = 0, n: int = N
) -> np.ndarray:
    draw = jax.jit(lambda key: sampler.sample(estimate, process, plan, MASK, n, key))
    return np.asarray(draw(jax.random.key(seed)))


def normal_weights(process: Process) -> Estimate:
    """The exact estimate of independent normal weights, E[x_0 | x_t] in closed form."""

    def estimate(noisy: jax.Array, t: jax.Array) -> jax.Array:
        alpha, sigma = process.coefficients(t)
        gain = alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + sigma**2)
        return (MEAN + gain * (noisy - alpha * MEAN)) * MASK[None]

    return estimate


@pytest.fixture(params=SCHEDULES)
def process(request: pytest.FixtureRequest) -> Process:
    return noising.build(request.param, 1000, "x0")


@pytest.mark.parametrize("name", sampler.SAMPLERS)
@pytest.mark.parametrize("steps", [1, 20])
def test_an_estimate_that_knows_the_answer_is_followed(
    process: Process, name: str, steps: int
) -> None:
    answer = np.arange(N * 6, dtype=np.float32).reshape(N, 2, 3) * MASK
    found = sample(lambda *_: jnp.asarray(answer), process, Plan(name, steps))
    np.testing.assert_allclose(found, answer, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sampler.SAMPLERS)
def test_many_steps_draw_from_the_distribution_of_the_zoo(process: Process, name: str) -> None:
    """Mean and deviation of normal weights come out right, whichever way the noise goes in."""
    found = sample(normal_weights(process), process, Plan(name, steps=200), n=500)
    assert abs(found[:, MASK].mean() - MEAN) < 0.05
    assert abs(found[:, MASK].std() - DEVIATION) < 0.05


def circle() -> Process:
    """Where noise grows with t from the beginning, as it does in the flow.

    The last step is Euler's, and its error the square of the noise that it begins with. Noise falls
    more slowly than the steps where a schedule begins like a square root of t.
    """
    angle = np.linspace(0, 0.8, 4001)[1:] * np.pi / 2
    return Process(np.cos(angle), np.sin(angle), "x0")


def errors(process: Process, name: str, steps: tuple[int, ...]) -> np.ndarray:
    """The largest error of sampling in so many steps.

    Of normal weights the probability flow is known: x_t - alpha mean keeps its direction.
    """
    first = sample(lambda noisy, _: noisy, process, Plan(steps=1))  # as it takes noise for data
    alpha, sigma = process.alpha[-1], process.sigma[-1]
    shrinks = DEVIATION / np.sqrt((alpha * DEVIATION) ** 2 + sigma**2)
    exact = MEAN + shrinks * (first - alpha * MEAN)
    found = [sample(normal_weights(process), process, Plan(name, n)) for n in steps]
    return np.array([np.abs(x - exact)[:, MASK].max() for x in found])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_errors_fall_with_the_steps(schedule: str) -> None:
    euler = errors(noising.build(schedule, 4001, "x0"), "ddim", (40, 80))
    assert np.log2(euler[0] / euler[1]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("process", "steps"),
    [(circle(), (10, 20, 40)), (noising.build("flow", 4001, "x0"), (10, 20, 40))],
    ids=["circle", "flow"],
)
def test_heuns_errors_fall_with_the_square_of_the_steps(
    process: Process, steps: tuple[int, ...]
) -> None:
    heun, euler = (errors(process, name, steps) for name in ("heun", "ddim"))
    np.testing.assert_allclose(np.log2(heun[:-1] / heun[1:]), 2.0, atol=0.1)
    np.testing.assert_allclose(np.log2(euler[:-1] / euler[1:]), 1.0, atol=0.15)
    assert (heun < euler).all()


def test_ddim_is_eulers_method_for_the_flow() -> None:
    """Also where the velocity is that of no distribution; and `heun` is Heun's."""
    process = noising.build("flow", 1000, "flow")

    def velocity(x: jax.Array, t: jax.Array) -> jax.Array:
        return (jnp.sin(3 * x) + t) * MASK[None]

    def estimate(noisy: jax.Array, t: jax.Array) -> jax.Array:
        zeros, times = jnp.zeros_like(noisy), jnp.full(len(noisy), t)
        return process.clean_estimate(velocity(noisy, t), noisy, zeros, times, jnp.ones((1, 1, 1)))

    first = sample(lambda noisy, _: noisy, process, Plan(steps=1))
    time = sampler.steps_of(process, Plan(steps=8)).time.astype(np.float32)
    level = np.append(process.coefficients(jnp.asarray(time))[1], 0.0)
    euler = heun = first
    for i, t in enumerate(time):
        step = level[i + 1] - level[i]
        euler = euler + step * velocity(euler, t)
        slope = velocity(heun, t)
        if i < len(time) - 1:
            slope = (slope + velocity(heun + step * slope, time[i + 1])) / 2
        heun = heun + step * slope
    np.testing.assert_allclose(sample(estimate, process, Plan("ddim", 8)), euler, atol=1e-5)
    np.testing.assert_allclose(sample(estimate, process, Plan("heun", 8)), heun, atol=1e-5)


def test_heun_is_that_of_karras_et_al() -> None:
    """In x / alpha and sigma / alpha, with any estimate."""
    process = noising.build("linear", 1000, "x0")

    def estimate(noisy: jax.Array, t: jax.Array) -> jax.Array:
        return (jnp.sin(3 * noisy) + t) * MASK[None]

    first = sample(lambda noisy, _: noisy, process, Plan(steps=1))
    time = sampler.steps_of(process, Plan(steps=4)).time.astype(np.float32)
    alpha, sigma = map(np.asarray, process.coefficients(jnp.asarray(time)))
    alpha, level = np.append(alpha, 1.0), np.append(sigma / alpha, 0.0)

    def slope(x: np.ndarray, i: int) -> np.ndarray:
        return (x - np.asarray(estimate(jnp.asarray(alpha[i] * x), time[i]))) / level[i]

    x = first / alpha[0]
    for i in range(4):
        step, begins = level[i + 1] - level[i], slope(x, i)
        mean = (begins + slope(x + step * begins, i + 1)) / 2 if i < 3 else begins
        x = x + step * mean
    np.testing.assert_allclose(sample(estimate, process, Plan("heun", 4)), x, atol=1e-4)


def test_one_step_of_heun_is_eulers(process: Process) -> None:
    def apart(steps: int) -> float:
        plans = (Plan("heun", steps), Plan("ddim", steps))
        heun, euler = (sample(normal_weights(process), process, plan) for plan in plans)
        return float(np.abs(heun - euler).max())

    assert apart(steps=1) == 0
    assert apart(steps=2) > 1e-3


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ["ancestral", "ancestral_large"])
@pytest.mark.parametrize("n", [100, 15])
def test_steps_back_undo_steps_forward(schedule: str, name: str, n: int) -> None:
    """With x_0 and noise independent, a step back from x_t gives the distribution of the next."""
    process = noising.build(schedule, 100, "x0")
    steps = sampler.steps_of(process, Plan(name, n))
    grid = np.round(steps.time * 99).astype(int)
    alpha, sigma = np.append(process.alpha[grid], 1.0), np.append(process.sigma[grid], 0.0)
    np.testing.assert_allclose(steps.clean + steps.noisy * alpha[:-1], alpha[1:])  # the mean
    # What the noise does not explain.
    posterior = sigma[1:] ** 2 - steps.noisy**2 * sigma[:-1] ** 2
    if name == "ancestral":
        np.testing.assert_allclose(steps.fresh**2, posterior, atol=1e-12)
    else:
        forward = sigma[:-1] ** 2 - (alpha[:-1] / alpha[1:] * sigma[1:]) ** 2
        np.testing.assert_allclose(steps.fresh[:-1] ** 2, forward[:-1])
        assert steps.fresh[-1] ** 2 == pytest.approx(posterior[-2])
        assert np.all(forward >= posterior)
    assert (steps.clean[-1], steps.noisy[-1]) == (1, 0)


def test_the_noise_falls_evenly_and_is_never_none() -> None:
    """Every step has something to say: the model is never shown the answer itself."""
    assert steps_seen(Plan(steps=5)) == [49, 39, 29, 19, 9]


def test_heun_corrects_where_a_step_ends() -> None:
    plan = Plan("heun", steps=3)
    assert steps_seen(plan) == [49, 32, 32, 16, 16]
    assert plan.evaluations == 5
    assert steps_seen(Plan(steps=3)) == [49, 32, 16]


def steps_seen(plan: Plan) -> list[float]:
    """The steps of a grid of 50 at which the model is asked."""
    process, seen = noising.build("linear", 50, "x0"), []

    def estimate(noisy: jax.Array, t: jax.Array) -> jax.Array:
        jax.debug.callback(lambda step: seen.append(float(step)), process.step(t), ordered=True)
        return noisy

    sample(estimate, process, plan)
    jax.effects_barrier()
    return seen


@pytest.mark.parametrize("name", sampler.SAMPLERS)
def test_padding_stays_zero_and_keys_decide(name: str) -> None:
    process = noising.build("cosine", 50, "x0")
    one, same, other = (
        sample(normal_weights(process), process, Plan(name, 2), seed) for seed in (0, 0, 1)
    )
    assert np.all(one[:, ~MASK] == 0)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "euler"}, "sampling.name='euler'"),
        ({"steps": 0}, "sampling.steps=0"),
        ({"steps": 51}, "sampling.steps=51"),
        ({"eta": 1.5}, "sampling.eta=1.5"),
        ({"eta": 0.5, "name": "heun"}, "sampling.eta=0.5 adds fresh noise"),
        ({"guidance": float("nan")}, "sampling.guidance=nan"),
        ({"guidance_target": float("inf")}, "sampling.guidance_target=inf"),
        ({"guidance_start": 1000.0}, r"sampling.guidance_start=1000.* must lie in -100\.\.100"),
    ],
)
def test_impossible_plans_are_refused(change: dict, message: str) -> None:
    settings = dataclasses.asdict(sampler.DEFAULT) | change
    with pytest.raises(UserError, match=message):
        sampler.plan(settings, 50)
