"""The diffusion process: schedules, and that noising and estimating are each other's inverse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.metamodel.process import diffusion

T = 100


@pytest.mark.parametrize("schedule", diffusion.SCHEDULES)
@pytest.mark.parametrize("n_steps", [2, 50, 1000])
def test_the_signal_falls_from_almost_one_to_almost_none(schedule: str, n_steps: int) -> None:
    process = diffusion.build(schedule, n_steps, "x0")
    a = process.alpha_bar
    assert process.n_steps == len(a) == n_steps
    assert np.all(np.diff(a) < 0)
    assert np.all((a > 0) & (a < 1))
    # In float32, too: the sampler divides by sqrt(1 - a).
    assert np.all(1 - a.astype(np.float32) > 0)
    if n_steps >= 50:
        assert a[0] > 0.99
        assert a[-1] < 1e-3


def test_the_linear_schedule_is_that_of_ho_et_al() -> None:
    a = diffusion.build("linear", 1000, "x0").alpha_bar
    np.testing.assert_allclose(a, np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))


def test_little_noise_is_as_exact_as_much() -> None:
    """1 - alpha_bar of a float32 alpha_bar near 1 would have few digits left."""
    process = diffusion.build("linear", 1000, "x0")
    t = jnp.arange(1000)
    noisy = process.add_noise(jnp.zeros((1000, 1)), jnp.ones((1000, 1)), t)[:, 0]
    np.testing.assert_allclose(noisy, np.sqrt(1 - process.alpha_bar), rtol=3e-7)


@pytest.fixture(params=diffusion.PREDICTIONS)
def process(request: pytest.FixtureRequest) -> diffusion.Process:
    return diffusion.build("cosine", T, request.param)


def draws() -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    rng = np.random.default_rng(0)
    clean, noise, start = (jnp.asarray(rng.normal(size=(5, 3, 4)), jnp.float32) for _ in range(3))
    return clean, noise, start, jnp.array([0, 20, 50, 80, 99])


# Of four channels; the third never moves.
SPREAD = jnp.array([0.2, 1.0, 0.0, 3.0]).reshape(1, 1, 4)


def output_for(
    process: diffusion.Process, clean: jax.Array, noise: jax.Array, start: jax.Array, t: jax.Array
) -> jax.Array:
    """What a network should put out, by the definitions of the parametrisations."""
    a = process.signal(t)[:, None, None]
    if process.prediction == "x0":
        return clean - start
    if process.prediction == "eps":
        return noise
    if process.prediction == "v":
        return jnp.sqrt(a) * noise - jnp.sqrt(1 - a) * (clean - start)
    # edm: what the best linear estimate leaves, over the standard deviation of what it leaves.
    s = jnp.maximum(SPREAD, 1e-9)
    gain = jnp.sqrt(a) * s**2 / (a * s**2 + 1 - a)
    left = (1 - gain * jnp.sqrt(a)) * (clean - start) - gain * jnp.sqrt(1 - a) * noise
    return left / jnp.sqrt((1 - gain * jnp.sqrt(a)) ** 2 * s**2 + gain**2 * (1 - a))


def test_the_right_output_gives_the_clean_tokens(process: diffusion.Process) -> None:
    clean, noise, start, t = draws()
    noisy = process.add_noise(clean, noise, t)
    output = output_for(process, clean, noise, start, t)
    estimate = process.clean_estimate(output, noisy, start, t, SPREAD)
    moves = slice(None) if process.prediction != "edm" else np.array(SPREAD)[0, 0] > 0
    # Where there is hardly any signal, rounding of the noise grows with it.
    atol = 3e-4 if process.prediction == "eps" else 1e-5
    np.testing.assert_allclose(estimate[..., moves], clean[..., moves], atol=atol)


def test_noising_keeps_the_variance(process: diffusion.Process) -> None:
    rng = np.random.default_rng(0)
    clean, noise = (jnp.asarray(rng.normal(size=(3, 4000)), jnp.float32) for _ in range(2))
    noisy = process.add_noise(clean, noise, jnp.array([0, 50, 99]))
    np.testing.assert_allclose(noisy.std(axis=1), 1, atol=0.05)
    np.testing.assert_allclose(noisy[0], clean[0], atol=0.2)
    np.testing.assert_allclose(noisy[2], noise[2], atol=0.2)


def test_the_weight_turns_an_error_of_the_estimate_into_one_of_the_output(
    process: diffusion.Process,
) -> None:
    clean, noise, start, t = draws()
    noisy = process.add_noise(clean, noise, t)
    output = output_for(process, clean, noise, start, t) + 0.1
    error = (process.clean_estimate(output, noisy, start, t, SPREAD) - clean) ** 2
    spread = jnp.broadcast_to(SPREAD, clean.shape)
    moves = slice(None) if process.prediction != "edm" else np.array(SPREAD)[0, 0] > 0
    weighted = (process.loss_weight(t, spread) * error)[..., moves]
    np.testing.assert_allclose(weighted, 0.01, rtol=0.02)


def test_edm_sees_a_residual_of_unit_variance_and_needs_no_network_to_shrink_it() -> None:
    """With the spread known, input, ideal output and linear estimate have the scales promised."""
    process, rng = diffusion.build("linear", T, "edm"), np.random.default_rng(0)
    start, change, noise = (jnp.asarray(rng.normal(size=(3, 9000)), jnp.float32) for _ in range(3))
    spread = jnp.full((3, 1), 0.4)
    clean, t = start + spread * change, jnp.array([5, 30, 80])
    noisy = process.add_noise(clean, noise, t)
    np.testing.assert_allclose(process.shown(noisy, start, t, spread).std(axis=1), 1, atol=0.05)
    linear = process.clean_estimate(jnp.zeros_like(noisy), noisy, start, t, spread)
    left = jnp.mean((linear - clean) ** 2, axis=1)
    a = np.asarray(process.signal(t))
    np.testing.assert_allclose(left, 0.16 * (1 - a) / (0.16 * a + 1 - a), rtol=0.06)


@pytest.mark.parametrize("variance", diffusion.VARIANCES)
@pytest.mark.parametrize("times", [range(T), range(0, T, 7)])
def test_steps_back_undo_steps_forward(variance: str, times: range) -> None:
    """With x_0 and noise independent, a step back from x_t gives the distribution of the next."""
    a = np.append(diffusion.build("linear", T, "x0").alpha_bar[times][::-1], 1.0)
    clean, noisy, spread = diffusion.reverse(a, variance)
    np.testing.assert_allclose(clean + noisy * np.sqrt(a[:-1]), np.sqrt(a[1:]))  # the mean
    posterior = (1 - a[1:]) - noisy**2 * (1 - a[:-1])  # what the noise does not explain
    if variance == "fixed_small":
        np.testing.assert_allclose(spread, posterior, atol=1e-12)
    else:
        np.testing.assert_allclose(spread[:-1], 1 - (a[:-1] / a[1:])[:-1])
        assert spread[-1] == pytest.approx(posterior[-2])
        assert np.all(spread[:-1] >= posterior[:-1])
    assert (clean[-1], noisy[-1]) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("quadratic", T, "x0"), "diffusion.schedule='quadratic'"),
        (("cosine", T, "score"), "diffusion.prediction='score'"),
        (("cosine", 1, "x0"), "diffusion.steps=1"),
    ],
)
def test_what_cannot_be_built(arguments: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        diffusion.build(*arguments)
