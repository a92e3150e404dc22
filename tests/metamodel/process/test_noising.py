"""The diffusion process: noising and estimating are each other's inverse, at every time."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.metamodel.process import noising
from mole_jax.metamodel.process.noise_schedule import SCHEDULES
from mole_jax.metamodel.process.noising import Process
from mole_jax.metamodel.process.readout import PREDICTIONS

T = 100


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("n_steps", [2, 50, 1000, 10_000])
def test_on_the_grid_time_is_exact(schedule: str, n_steps: int) -> None:
    process, steps = noising.build(schedule, n_steps, "x0"), np.arange(n_steps)
    t = process.time(jnp.asarray(steps))
    assert t.dtype == jnp.float32 and (t[0], t[-1]) == (0, 1)
    np.testing.assert_array_equal(process.step(t), steps)
    alpha, sigma = process.coefficients(t)
    np.testing.assert_array_equal(alpha, process.alpha.astype(np.float32))
    np.testing.assert_array_equal(sigma, process.sigma.astype(np.float32))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_between_times_of_the_grid_it_is_interpolated(schedule: str) -> None:
    process = noising.build(schedule, 20, "x0")
    t = jnp.linspace(0, 1, 19 * 4 + 1)
    alpha, sigma = process.coefficients(t)
    assert np.all(np.diff(alpha) <= 0) and np.all(np.diff(sigma) >= 0)
    np.testing.assert_allclose(alpha[2::4], (process.alpha[1:] + process.alpha[:-1]) / 2, rtol=1e-5)
    np.testing.assert_allclose(sigma[2::4], (process.sigma[1:] + process.sigma[:-1]) / 2, rtol=1e-5)


def test_a_time_is_no_step() -> None:
    with pytest.raises(AssertionError, match=r"t in \[0, 1\]"):
        noising.build("linear", T, "x0").coefficients(jnp.arange(3))


def test_little_noise_is_as_exact_as_much() -> None:
    """1 - alpha^2 of a float32 alpha near 1 would have few digits left."""
    process = noising.build("linear", 1000, "x0")
    t = process.time(jnp.arange(1000))
    noisy = process.add_noise(jnp.zeros((1000, 1)), jnp.ones((1000, 1)), t)[:, 0]
    np.testing.assert_allclose(noisy, np.sqrt(1 - process.alpha**2), rtol=3e-7)


@pytest.fixture(params=itertools.product(SCHEDULES, PREDICTIONS), ids="-".join)
def process(request: pytest.FixtureRequest) -> Process:
    schedule, prediction = request.param
    return noising.build(schedule, T, prediction)


def draws() -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Clean, noise, start [5, 3, 4], and t [5], of which some lie between those of the grid."""
    rng = np.random.default_rng(0)
    clean, noise, start = (jnp.asarray(rng.normal(size=(5, 3, 4)), jnp.float32) for _ in range(3))
    return clean, noise, start, jnp.array([0, 0.2, 0.5, 0.8, 1])


# Of four channels; the third never moves.
SPREAD = jnp.array([0.2, 1.0, 0.0, 3.0]).reshape(1, 1, 4)


def output_for(
    process: Process, clean: jax.Array, noise: jax.Array, start: jax.Array, t: jax.Array
) -> jax.Array:
    """What a network should put out, by the definitions of the parametrisations."""
    alpha, sigma = (x[:, None, None] for x in process.coefficients(t))
    if process.prediction == "x0":
        return clean - start
    if process.prediction == "eps":
        return noise
    if process.prediction == "v":
        return alpha * noise - sigma * (clean - start)
    if process.prediction == "flow":
        return noise - (clean - start)
    # edm: what the best linear estimate leaves, over the standard deviation of what it leaves.
    s = jnp.maximum(SPREAD, 1e-9)
    gain = alpha * s**2 / (alpha**2 * s**2 + sigma**2)
    left = (1 - gain * alpha) * (clean - start) - gain * sigma * noise
    return left / jnp.sqrt((1 - gain * alpha) ** 2 * s**2 + gain**2 * sigma**2)


def test_the_right_output_gives_the_clean_tokens(process: Process) -> None:
    clean, noise, start, t = draws()
    noisy = process.add_noise(clean, noise, t)
    output = output_for(process, clean, noise, start, t)
    estimate = process.clean_estimate(output, noisy, start, t, SPREAD)
    moves = slice(None) if process.prediction != "edm" else np.array(SPREAD)[0, 0] > 0
    # Where there is hardly any signal, rounding of the noise grows with it.
    atol = 1e-6 / process.alpha[-1] if process.prediction == "eps" else 1e-5
    np.testing.assert_allclose(estimate[..., moves], clean[..., moves], atol=atol)


def test_the_weight_turns_an_error_of_the_estimate_into_one_of_the_output(process: Process) -> None:
    clean, noise, start, t = draws()
    noisy = process.add_noise(clean, noise, t)
    output = output_for(process, clean, noise, start, t) + 0.1
    error = (process.clean_estimate(output, noisy, start, t, SPREAD) - clean) ** 2
    spread = jnp.broadcast_to(SPREAD, clean.shape)
    moves = slice(None) if process.prediction != "edm" else np.array(SPREAD)[0, 0] > 0
    weighted = (process.loss_weight(t, spread) * error)[..., moves]
    np.testing.assert_allclose(weighted, 0.01, rtol=0.02)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_noising_keeps_the_variance(schedule: str) -> None:
    rng, process = np.random.default_rng(0), noising.build(schedule, T, "x0")
    clean, noise = (jnp.asarray(rng.normal(size=(3, 4000)), jnp.float32) for _ in range(2))
    noisy = process.add_noise(clean, noise, jnp.array([0, 0.5, 1]))
    np.testing.assert_allclose(noisy.std(axis=1), 1, atol=0.05)
    np.testing.assert_allclose(noisy[0], clean[0], atol=0.2)
    np.testing.assert_allclose(noisy[2], noise[2], atol=0.2)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_edm_sees_a_residual_of_unit_variance_and_needs_no_network_to_shrink_it(
    schedule: str,
) -> None:
    """With the spread known, input, ideal output and linear estimate have the scales promised."""
    process, rng = noising.build(schedule, T, "edm"), np.random.default_rng(0)
    start, change, noise = (jnp.asarray(rng.normal(size=(3, 9000)), jnp.float32) for _ in range(3))
    spread = jnp.full((3, 1), 0.4)
    clean, t = start + spread * change, jnp.array([0.05, 0.3, 0.8])
    noisy = process.add_noise(clean, noise, t)
    np.testing.assert_allclose(
        process.preconditioned_input(noisy, start, t, spread).std(axis=1), 1, atol=0.05
    )
    linear = process.clean_estimate(jnp.zeros_like(noisy), noisy, start, t, spread)
    left = jnp.mean((linear - clean) ** 2, axis=1)
    alpha, sigma = process.coefficients(t)
    expected = 0.16 * sigma**2 / (0.16 * alpha**2 + sigma**2)
    np.testing.assert_allclose(left, expected, rtol=0.06)


def test_of_unit_spread_edm_is_v_with_the_other_sign() -> None:
    noisy, output, start, _ = draws()
    one, t = jnp.ones((1, 1, 1)), jnp.array([0, 9, 40, 90, 99]) / (T - 1)
    edm, v = (
        noising.build("cosine", T, name).clean_estimate(sign * output, noisy, start, t, one)
        for name, sign in (("edm", 1), ("v", -1))
    )
    np.testing.assert_allclose(edm, v, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("quadratic", T, "x0"), "diffusion.schedule='quadratic' .* cosine, linear, flow"),
        (("cosine", T, "score"), "diffusion.prediction='score' .* x0, eps, v, edm, flow"),
        (("cosine", 1, "x0"), "diffusion.steps=1"),
    ],
)
def test_what_cannot_be_built(arguments: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        noising.build(*arguments)
