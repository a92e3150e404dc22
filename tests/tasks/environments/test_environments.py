"""What no environment may be."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import environments


@pytest.mark.parametrize("name", environments.NAMES)
def test_every_environment_keeps_its_shapes(name: str) -> None:
    environment = environments.build(name)
    assert environment.name == name
    key = jax.random.key(0)
    parameters = environment.sample(key)
    assert parameters.shape == (environment.n_parameters,)
    for begin in (environment.reset, environment.random_state):
        state = begin(parameters, key)
        assert environment.observe(state).shape == (environment.n_observations,)
        after, reward, terminated = environment.step(
            parameters, state, np.zeros(environment.n_actions, np.float32)
        )
        assert jax.tree.map(np.shape, after) == jax.tree.map(np.shape, state)
        assert reward.shape == terminated.shape == ()


def test_an_unknown_environment_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"'cart' is unknown \(did you mean 'cartpole'\?\); there are"
    ):
        environments.build("cart")


def test_a_range_that_cannot_be_drawn_from_is_refused() -> None:
    environment = environments.build("cartpole")
    for low in (100.0, float("nan"), -float("inf")):
        bounds = (environment.parameter_low[0], low, *environment.parameter_low[2:])
        with pytest.raises(UserError, match=r"pole_mass .* with low <= high"):
            dataclasses.replace(environment, parameter_low=bounds)


def test_a_range_of_one_value_gives_that_value() -> None:
    classic = environments.build("cartpole")
    fixed = dataclasses.replace(
        classic,
        parameter_low=classic.default,
        parameter_high=classic.default,
        parameter_signed=(False,) * classic.n_parameters,
    )
    np.testing.assert_allclose(fixed.sample(jax.random.key(0)), classic.default, rtol=1e-6)
