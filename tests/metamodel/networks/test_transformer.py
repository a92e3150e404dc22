"""Choices of how the transformer is computed do not change what it computes."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny

BATCH = 2


@pytest.fixture(scope="module")
def plain() -> tiny.Setting:
    return tiny.made_up(metamodel__layers=2)


def estimate_and_gradient(setting: tiny.Setting, params: Any) -> tuple[jax.Array, Any]:
    """The clean estimate of some noisy tokens, and the gradient of its mean square."""
    model = setting.model
    prompt = tiny.prompts(setting.family, model, BATCH)
    noise = jax.random.normal(jax.random.key(3), prompt.start.shape) * model.codec.mask[None]

    def of(params: Any) -> tuple[jax.Array, jax.Array]:
        t = jnp.array([10, 40]) / 49
        estimate = model.clean_estimate(params, setting.normaliser, noise, t, prompt)
        return jnp.mean(estimate**2), estimate

    (_, estimate), gradient = jax.jit(jax.value_and_grad(of, has_aux=True))(params)
    return estimate, gradient


@pytest.mark.parametrize(
    "change", [{"metamodel__remat": True}, {"metamodel__unroll": 1}], ids=["remat", "unroll"]
)
def test_how_layers_are_run_changes_nothing(plain: tiny.Setting, change: dict) -> None:
    other = tiny.made_up(metamodel__layers=2, **change)
    found = estimate_and_gradient(other, plain.params)
    for a, b in zip(
        jax.tree.leaves(found),
        jax.tree.leaves(estimate_and_gradient(plain, plain.params)),
        strict=True,
    ):
        # Not entry by entry: a probe near a kink of ReLU makes more of a rounding error.
        assert jnp.linalg.norm(a - b) <= 1e-3 * jnp.linalg.norm(b) + 1e-6


def test_bfloat16_is_of_the_products_only(plain: tiny.Setting) -> None:
    """Parameters, estimate and gradients stay float32; values differ by bfloat16's rounding."""
    other = tiny.made_up(metamodel__layers=2, metamodel__dtype="bfloat16")
    chex.assert_trees_all_equal_shapes_and_dtypes(other.params, plain.params)
    estimate, gradient = estimate_and_gradient(other, plain.params)
    exact, _ = estimate_and_gradient(plain, plain.params)
    assert {x.dtype for x in jax.tree.leaves((estimate, gradient))} == {np.dtype("float32")}
    assert not np.array_equal(estimate, exact)
    error = float(jnp.linalg.norm(estimate - exact) / jnp.linalg.norm(exact))
    assert error < 0.15  # random parameters magnify it
