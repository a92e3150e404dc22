"""The diffusion process: schedules, and that noising and estimating are each other's inverse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.metamodel import diffusion

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


@pytest.fixture(params=diffusion.PREDICTIONS)
def process(request: pytest.FixtureRequest) -> diffusion.Process:
    return diffusion.build("cosine", T, request.param)


def draws() -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    rng = np.random.default_rng(0)
    clean, noise, start = (jnp.asarray(rng.normal(size=(5, 3, 4)), jnp.float32) for _ in range(3))
    return clean, noise, start, jnp.array([0, 20, 50, 80, 99])


def output_for(
    process: diffusion.Process, clean: jax.Array, noise: jax.Array, start: jax.Array, t: jax.Array
) -> jax.Array:
    """What a network should put out, by the definitions of the parametrisations."""
    a = process.signal(t)[:, None, None]
    if process.prediction == "x0":
        return clean - start
    return jnp.sqrt(a) * noise - jnp.sqrt(1 - a) * (clean - start)


def test_the_right_output_gives_the_clean_tokens(process: diffusion.Process) -> None:
    clean, noise, start, t = draws()
    noisy = process.add_noise(clean, noise, t)
    output = output_for(process, clean, noise, start, t)
    estimate = process.clean_estimate(output, noisy, start, t)
    np.testing.assert_allclose(estimate, clean, atol=1e-5)


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
    error = jnp.mean((process.clean_estimate(output, noisy, start, t) - clean) ** 2, axis=(1, 2))
    np.testing.assert_allclose(process.loss_weight(t) * error, 0.01, rtol=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("quadratic", T, "x0"), "diffusion.schedule='quadratic'"),
        (("cosine", T, "eps"), "diffusion.prediction='eps'"),
        (("cosine", 1, "x0"), "diffusion.steps=1"),
    ],
)
def test_what_cannot_be_built(arguments: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        diffusion.build(*arguments)
