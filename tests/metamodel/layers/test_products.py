"""Products in bfloat16 are those in float32 but for rounding, and so are their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.metamodel.layers import products


@pytest.fixture(params=[True, False], ids=["one cpu", "elsewhere"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_on_one_cpu", lambda: request.param)


def arrays(n: int, c: int, d: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Numbers that bfloat16 has, so that only results are rounded."""
    rng = np.random.default_rng(0)
    x, kernel, g = (rng.normal(size=shape) for shape in ((n, c), (c, d), (n, d)))
    return tuple(jnp.asarray(a, jnp.bfloat16) for a in (x, kernel, g))  # type: ignore[return-value]


def pulled_back(product: Callable[..., Any], *args: jax.Array) -> list[np.ndarray]:
    """The product and both gradients, for the last argument as cotangent."""
    *primals, g = args
    out, pull = jax.vjp(product, *primals)
    return [np.asarray(a, np.float32) for a in (out, *pull(g.astype(out.dtype)))]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("c", "d"), [(5, 17), (17, 5), (1, 3)])
def test_product_and_gradients_are_those_of_float32(c: int, d: int) -> None:
    x, kernel, g = arrays(11, c, d)
    found = pulled_back(products.product, x, kernel, g)
    whole = [a.astype(jnp.float32) for a in (x, kernel, g)]
    expected = pulled_back(jnp.matmul, *whole)
    for a, b in zip(found, expected, strict=True):
        # Rounded once, at the end: half a unit of eight bits.
        np.testing.assert_allclose(a, b, rtol=2.0**-8, atol=1e-5)


def test_other_types_and_other_products_are_left_alone() -> None:
    x, kernel, _ = arrays(4, 3, 6)
    plain = (((1,), (0,)), ((), ()))
    for a, b, dimensions in (
        (x.astype(jnp.float32), kernel.astype(jnp.float32), plain),
        (x, kernel.T, (((1,), (1,)), ((), ()))),
    ):
        found = products.dot_general(a, b, dimensions)
        np.testing.assert_array_equal(found, jax.lax.dot_general(a, b, dimensions))


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dense_layers_are_flax_ones(dtype: Any) -> None:
    x = jax.random.normal(jax.random.key(0), (2, 7, 12))
    for ours, flax in (
        (products.Dense(10, dtype=dtype), nn.Dense(10, dtype=dtype)),
        (products.DenseGeneral((3, 2, 4), dtype=dtype), nn.DenseGeneral((3, 2, 4), dtype=dtype)),
    ):
        params = flax.init(jax.random.key(1), x)
        assert jax.tree.structure(ours.init(jax.random.key(1), x)) == jax.tree.structure(params)
        found, expected = ours.apply(params, x), flax.apply(params, x)
        assert found.dtype == expected.dtype == dtype
        tolerance = 1e-6 if dtype == jnp.float32 else 0.02
        np.testing.assert_allclose(
            np.asarray(found, np.float32), np.asarray(expected, np.float32), atol=tolerance
        )
