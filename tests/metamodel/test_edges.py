"""Tokens of single weights know by their edges what belongs together."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.metamodel.layers.attention import attention
from mole_jax.representation import permutation
from tests import tiny

BATCH = 2


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    return tiny.made_up(
        representation__name="weight", network__hidden=(3,), metamodel__probes=1,
        metamodel__inner_steps=1,
    )  # fmt: skip


def test_renumbering_units_renumbers_what_is_written(setting: tiny.Setting) -> None:
    model = setting.model
    prompt = tiny.prompts(setting.family, model, BATCH)
    noisy = jax.random.normal(jax.random.key(5), prompt.start.shape)
    order = np.asarray(
        permutation.permute(
            model.network, np.arange(model.network.spec.size), [np.array([2, 0, 1])]
        )
    )
    t = jnp.array([10, 40]) / 49

    @jax.jit
    def estimate(noisy: jax.Array, start: jax.Array) -> jax.Array:
        return model.clean_estimate(setting.params, noisy, t, prompt._replace(start=start))

    plain = estimate(noisy, prompt.start)
    permuted = estimate(noisy[:, order], prompt.start[:, order])
    assert float(jnp.std(plain - prompt.start)) > 0.05
    np.testing.assert_allclose(permuted, plain[:, order], rtol=1e-3, atol=1e-3)


def test_edges_change_what_is_written(setting: tiny.Setting) -> None:
    model = setting.model
    prompt = tiny.prompts(setting.family, model, BATCH)
    noisy = jax.random.normal(jax.random.key(5), prompt.start.shape)
    t = jnp.array([10, 40]) / 49
    layers = [path for path, _ in jax.tree_util.tree_leaves_with_path(setting.params)]
    assert any("edges" in jax.tree_util.keystr(path) for path in layers)

    @jax.jit
    def estimate(params: dict) -> jax.Array:
        return model.clean_estimate(params, noisy, t, prompt)

    other = jax.tree.map_with_path(
        lambda path, x: 3 * x if "edges" in jax.tree_util.keystr(path) else x, setting.params
    )
    assert float(jnp.abs(estimate(other) - estimate(setting.params)).max()) > 1e-3


def test_attention_with_a_bias_is_the_formula() -> None:
    q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 5, 2, 4))
    bias = jax.random.normal(jax.random.key(1), (1, 2, 5, 5))
    logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) / 2 + bias
    expected = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(logits), v)
    np.testing.assert_allclose(attention(q, k, v, None, bias), expected, rtol=1e-4, atol=1e-5)
