"""Operations are counted as by hand, through loops, branches and derivatives."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.devices import flops

X, W = jax.ShapeDtypeStruct((3, 4, 5), "float32"), jax.ShapeDtypeStruct((3, 5, 6), "float32")
PRODUCT = 2 * 3 * 4 * 5 * 6


def product(x: jax.Array, w: jax.Array) -> jax.Array:
    return jnp.einsum("bij,bjk->bik", x, w)


def test_a_product() -> None:
    assert flops.count(product, X, W) == PRODUCT
    assert flops.count(jax.jit(product), X, W) == PRODUCT


def test_a_derivative_takes_two_products_more() -> None:
    gradient = jax.grad(lambda x, w: jnp.sum(product(x, w) ** 2), argnums=(0, 1))
    assert flops.count(gradient, X, W) == 3 * PRODUCT
    again = jax.grad(lambda x, w: jnp.sum(jax.checkpoint(product)(x, w) ** 2), argnums=(0, 1))
    assert flops.count(again, X, W) >= 3 * PRODUCT


def test_a_loop_counts_as_often_as_it_runs() -> None:
    square = jax.ShapeDtypeStruct((5, 5), "float32")

    def loop(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda c, _: (c @ w, None), x, length=7)[0]

    assert flops.count(loop, square, square) == 7 * 2 * 5**3
    assert flops.count(jax.vmap(loop), X_OF_SQUARES, X_OF_SQUARES) == 9 * 7 * 2 * 5**3


X_OF_SQUARES = jax.ShapeDtypeStruct((9, 5, 5), "float32")


def test_of_branches_the_dearest_counts() -> None:
    def either(take: jax.Array, x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.cond(take, lambda: product(x, w), lambda: jnp.zeros((3, 4, 6)))

    assert flops.count(either, jax.ShapeDtypeStruct((), "bool"), X, W) == PRODUCT


def test_a_convolution_agrees_with_the_compiler() -> None:
    convolve = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=(2, 2),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    x, w = jnp.ones((2, 9, 9, 3)), jnp.ones((3, 3, 3, 5))
    counted = flops.count(convolve, x, w)
    assert counted == 2 * (2 * 4 * 4 * 5) * (3 * 3 * 3)
    cost = jax.jit(convolve).lower(x, w).compile().cost_analysis()
    np.testing.assert_allclose(counted, cost["flops"], rtol=0.1)
