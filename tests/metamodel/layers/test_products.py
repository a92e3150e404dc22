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


def arrays(n: int, c: int, d: int) -> tuple[jax.Array, ...]:
    """Numbers that bfloat16 has, so that only results are rounded."""
    rng = np.random.default_rng(0)
    found = (rng.normal(size=shape) for shape in ((n, c), (c, d), (d,), (n, d)))
    return tuple(jnp.asarray(a, jnp.bfloat16) for a in found)


def pulled_back(layer: Callable[..., Any], *args: jax.Array) -> list[np.ndarray]:
    """The layer and all gradients, for the last argument as cotangent."""
    *primals, g = args
    out, pull = jax.vjp(layer, *primals)
    return [np.asarray(a, np.float32) for a in (out, *pull(g.astype(out.dtype)))]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("c", "d"), [(5, 17), (17, 5), (1, 3)])
def test_layers_and_gradients_are_those_of_float32(c: int, d: int) -> None:
    given = arrays(11, c, d)
    found = pulled_back(products.linear, *given)
    whole = [a.astype(jnp.float32) for a in given]
    expected = pulled_back(lambda x, kernel, bias: x @ kernel + bias[None], *whole)
    for a, b in zip(found, expected, strict=True):
        # Rounded once, at the end: half a unit of eight bits.
        np.testing.assert_allclose(a, b, rtol=2.0**-8, atol=1e-5)


def test_no_sum_over_rows_is_left_to_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one CPU it took a third of a small step: gradients of biases are products, too."""
    monkeypatch.setattr(products, "_on_one_cpu", lambda: True)
    for c, d in ((5, 17), (17, 5)):
        *primals, g = arrays(11, c, d)
        _, pull = jax.vjp(products.linear, *primals)
        assert "reduce" not in jax.jit(pull).lower(g).as_text()


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("features", [10, (3, 2, 4)])
def test_dense_layers_are_flax_ones(dtype: Any, use_bias: bool, features: Any) -> None:
    x = jax.random.normal(jax.random.key(0), (2, 7, 12))
    ours, flax = (
        kind(features, dtype=dtype, use_bias=use_bias) for kind in (products.Dense, nn.DenseGeneral)
    )
    params = flax.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, ours.init(jax.random.key(1), x), params)
    if use_bias:
        params["params"]["bias"] += 0.5
    found, expected = ours.apply(params, x), flax.apply(params, x)
    assert found.dtype == expected.dtype == dtype
    tolerance = 1e-6 if dtype == jnp.float32 else 0.03
    np.testing.assert_allclose(
        np.asarray(found, np.float32), np.asarray(expected, np.float32), atol=tolerance
    )


@pytest.mark.parametrize("n", [1, 2, 7, 26])
def test_repeated_rows_pass_back_their_sum_rounded_once(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_on_one_cpu", lambda: True)
    rng = np.random.default_rng(0)
    x, g = (jnp.asarray(rng.normal(size=(m, 4)), jnp.bfloat16) for m in (3, 3 * n))
    found, pull = jax.vjp(lambda x: products.repeated(x, n), x)
    (passed,) = pull(g)
    np.testing.assert_array_equal(found, jnp.repeat(x, n, axis=0))
    expected = np.asarray(g, np.float32).reshape(3, n, 4).sum(axis=1)
    assert passed.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(passed, np.float32), expected, rtol=2.0**-8, atol=1e-5)
