"""Evolution strategies as estimators: right on average, and persistent ones without bias."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.learners.ancestors import evolution

THETA = {"a": jnp.array([0.5, -0.3]), "b": jnp.array(0.2)}
SEGMENTS = 4


def follow(theta: Any, state: jax.Array) -> tuple[jax.Array, jax.Array]:
    """An inner problem whose later losses depend on what theta did earlier."""
    state = 0.9 * state + theta["a"] * theta["b"]
    return jnp.sum(state**2) + theta["b"], state


def segment(candidates: Any, state: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(follow)(candidates, state)


def true_gradient() -> Any:
    def whole(theta: Any) -> jax.Array:
        state, total = jnp.ones(2), jnp.zeros(())
        for _ in range(SEGMENTS):
            loss, state = follow(theta, state)
            total = total + loss
        return total / SEGMENTS

    return jax.grad(whole)(THETA)


def estimate(population: int, persistent: bool, key: jax.Array) -> Any:
    found, _ = evolution.gradient(
        segment, THETA, jnp.ones((population, 2)), SEGMENTS, key,
        population=population, sigma=0.02, persistent=persistent,
    )  # fmt: skip
    return found


@pytest.mark.parametrize("persistent", [False, True])
def test_the_estimate_is_the_gradient_through_all_segments(persistent: bool) -> None:
    expected = true_gradient()
    keys = jax.random.split(jax.random.key(0), 32)
    many = jax.jit(lambda keys: jax.lax.map(lambda k: estimate(512, persistent, k), keys))(keys)
    for name in THETA:
        each = np.asarray(many[name]).reshape(32, -1)
        half = 4 * each.std(0) / np.sqrt(len(each)) + 0.01
        assert (np.abs(each.mean(0) - np.ravel(expected[name])) < half).all(), name


def test_a_strategy_that_adapts_widens_where_it_is_far_and_narrows_where_it_is_near() -> None:
    def losses(candidates: Any) -> jax.Array:
        return jnp.sum(jnp.square(candidates - 3.0), axis=1)

    @jax.jit
    def step(carry: Any, key: jax.Array) -> Any:
        mean, log_std = carry
        found = evolution.generation(losses, mean, log_std, key, population=16, adapt=True)
        return (mean - found.mean, log_std - found.log_std), jnp.exp(log_std - found.log_std)

    begun = jnp.zeros(2), jnp.full(2, jnp.log(0.1))
    (mean, _), spread = jax.lax.scan(step, begun, jax.random.split(jax.random.key(0), 120))
    np.testing.assert_allclose(mean, 3.0, atol=0.05)
    assert spread.max() > 0.3 and spread[-1].max() < 0.05
    found = evolution.generation(losses, *begun, jax.random.key(0), population=16, adapt=False)
    np.testing.assert_array_equal(found.log_std, 0.0)
