"""Noise schedules: from almost data to almost noise, as in the papers."""

from __future__ import annotations

import numpy as np
import pytest

from mole_jax.metamodel.process import noise_schedule
from mole_jax.metamodel.process.noise_schedule import SCHEDULES


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("n_steps", [2, 50, 1000])
def test_the_signal_falls_from_almost_one_to_almost_none(name: str, n_steps: int) -> None:
    alpha, sigma = SCHEDULES[name](n_steps)
    assert alpha.shape == sigma.shape == (n_steps,)
    assert np.all(np.diff(alpha) < 0) and np.all(np.diff(sigma) > 0)
    for values in (alpha, sigma, alpha.astype(np.float32), sigma.astype(np.float32)):
        assert np.all((values > 0) & (values <= 1))  # read-outs divide by them
    if n_steps >= 50:
        assert alpha[0] ** 2 > 0.99 and alpha[-1] ** 2 < 1e-3


def test_the_linear_schedule_is_that_of_ho_et_al() -> None:
    alpha, sigma = noise_schedule.linear(1000)
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose(alpha**2, alpha_bar)
    np.testing.assert_allclose(sigma**2, 1 - alpha_bar)


def test_the_flow_is_a_straight_line() -> None:
    """At even times the noise is even, and what the data lose the noise gains."""
    alpha, sigma = noise_schedule.flow(100)
    np.testing.assert_allclose(alpha + sigma, 1)
    np.testing.assert_allclose(sigma, np.linspace(0, 1, 100), atol=1.001e-3)
    np.testing.assert_allclose(np.diff(sigma, n=2), 0, atol=1e-15)
