"""Clipped steps compute what they did, and pass back derivatives that do not grow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.metamodel.layers.cotangent_clipping import clip_cotangent

CURVATURE = jnp.array([0.5, 30.0, -4.0])


def descend(x: jax.Array, rate: jax.Array) -> jax.Array:
    """A gradient step on a quadratic, too long for its second direction."""
    return x - rate * CURVATURE[None] * x


def many(step: object, x: jax.Array, rate: jax.Array, n: int = 20) -> jax.Array:
    for _ in range(n):
        x = step(x, rate)  # type: ignore[operator]
    return x


X = jax.random.normal(jax.random.key(0), (4, 3))
RATE = jnp.full((4, 1), 0.2)


def test_values_are_those_of_the_step() -> None:
    np.testing.assert_array_equal(clip_cotangent(descend, 1.0)(X, RATE), descend(X, RATE))


def test_derivatives_are_exact_where_they_do_not_grow() -> None:
    gentle = jnp.full((4, 1), 1e-3)
    x = X.at[:, 2].set(0)

    def loss(step: object) -> object:
        return jax.grad(lambda x, rate: jnp.sum(many(step, x, rate)[:, :2] ** 2), (0, 1))

    for a, b in zip(
        loss(descend)(x, gentle), loss(clip_cotangent(descend, 1.0))(x, gentle), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("growth", [1.0, 1.1])
def test_derivatives_do_not_explode(growth: float) -> None:
    end, pullback = jax.vjp(lambda x: many(clip_cotangent(descend, growth), x, RATE), X)
    back = pullback(jnp.ones_like(end))[0]
    lengths = jnp.linalg.norm(back, axis=1) / jnp.sqrt(3.0)
    np.testing.assert_allclose(lengths, np.full(4, growth**20), rtol=1e-4)  # each example's own
    free = jax.grad(lambda x: jnp.sum(many(descend, x, RATE)))(X)
    assert float(jnp.abs(free).max()) > 1e10


def test_closed_over_arrays_are_differentiated_too() -> None:
    def loss(rate: jax.Array, wrap: bool) -> jax.Array:
        def step(x: jax.Array) -> jax.Array:
            return descend(x, rate)

        return jnp.sum((clip_cotangent(step, 1.0) if wrap else step)(X) ** 2)

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    np.testing.assert_allclose(gradient(RATE, True), gradient(RATE, False), rtol=1e-5)


def test_an_example_that_is_passed_nothing_stays_at_nothing() -> None:
    _, pullback = jax.vjp(lambda x: clip_cotangent(descend, 1.0)(x, RATE), X)
    back = pullback(jnp.zeros_like(X).at[0].set(1.0))[0]
    assert not np.asarray(back[1:]).any()
    assert np.isfinite(back).all()
