"""The set encoder: the order of examples and padding do not count, and any number will do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.metamodel.layers.features import DenseFeatures
from mole_jax.metamodel.layers.set_encoder import SetEncoder
from mole_jax.tasks.examples import Examples
from tests import tiny

B, N, F, K, Q, W = 2, 12, 10, 3, 2, 16
ENCODER = SetEncoder(n_classes=K, width=W, features=DenseFeatures(8), n_queries=Q, weigh=True)


def examples(n: int = N, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    return Examples(
        jnp.asarray(rng.normal(size=(B, n, F)), jnp.float32),
        jnp.asarray(rng.integers(0, K, (B, n)), jnp.int32),
        jnp.asarray(rng.random((B, n)) < 0.8).at[:, 0].set(True),
    )


@pytest.fixture(scope="module")
def params() -> dict:
    shapes = jax.eval_shape(lambda: ENCODER.init(jax.random.key(0), examples()))["params"]
    return tiny.random_like(shapes)


@jax.jit
def both(params: dict, support: Examples) -> tuple[jax.Array, jax.Array]:
    return ENCODER.apply({"params": params}, support)


def encode(params: dict, support: Examples) -> jax.Array:
    return both(params, support)[0]


def test_the_order_of_examples_does_not_matter(params: dict) -> None:
    support, order = examples(), np.random.default_rng(1).permutation(N)
    tokens = encode(params, support)
    assert tokens.shape == (B, K + Q, W)
    shuffled = encode(params, jax.tree.map(lambda x: x[:, order], support))
    np.testing.assert_allclose(shuffled, tokens, rtol=1e-4, atol=1e-5)


def test_what_is_masked_does_not_count(params: dict) -> None:
    support = examples()
    tokens = encode(params, support)
    other = examples(seed=7)
    hidden = Examples(
        jnp.where(support.mask[..., None], support.inputs, other.inputs),
        jnp.where(support.mask, support.labels, other.labels),
        support.mask,
    )
    np.testing.assert_allclose(encode(params, hidden), tokens, rtol=1e-4, atol=1e-5)
    longer = jax.tree.map(lambda x: jnp.concatenate([x, x[:, :5]], axis=1), support)
    longer = longer._replace(mask=longer.mask.at[:, N:].set(False))
    np.testing.assert_allclose(encode(params, longer), tokens, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 40])
def test_any_number_of_examples(params: dict, n: int) -> None:
    tokens = encode(params, examples(n))
    assert tokens.shape == (B, K + Q, W)
    assert bool(jnp.isfinite(tokens).all())


def test_an_empty_set_gives_numbers_and_gradients(params: dict) -> None:
    empty = examples()._replace(mask=jnp.zeros((B, N), bool))
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(both(p, empty)[0] ** 2)))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient(params)))


def test_labels_and_images_are_read(params: dict) -> None:
    support = examples()
    tokens = encode(params, support)
    for changed in (
        support._replace(labels=(support.labels + 1) % K),
        support._replace(inputs=support.inputs + 1),
    ):
        assert float(jnp.abs(encode(params, changed) - tokens).max()) > 0.01


def test_a_class_token_depends_on_its_own_examples(params: dict) -> None:
    support = examples()
    changed = support._replace(
        inputs=jnp.where((support.labels == 0)[..., None], support.inputs + 1, support.inputs)
    )
    difference = jnp.abs(encode(params, changed) - encode(params, support)).max(axis=(0, 2))
    assert float(difference[0]) > 0.01
    np.testing.assert_allclose(difference[1:K], 0, atol=1e-5)


def test_weights_go_with_their_examples(params: dict) -> None:
    support, order = examples(), np.random.default_rng(1).permutation(N)
    weights = both(params, support)[1]
    assert weights.shape == (B, N) and float(weights.std()) > 0.01
    assert float(weights.min()) >= 0 and float(weights.max()) <= 2
    shuffled = both(params, jax.tree.map(lambda x: x[:, order], support))[1]
    np.testing.assert_allclose(shuffled, weights[:, order], rtol=1e-4, atol=1e-5)


def test_all_examples_count_alike_at_first(params: dict) -> None:
    begun = {**params, "weight": jax.tree.map(jnp.zeros_like, params["weight"])}
    np.testing.assert_array_equal(both(begun, examples())[1], 1)


def test_weights_are_made_where_they_are_asked_for(params: dict) -> None:
    plain = ENCODER.clone(weigh=False)
    own = {name: x for name, x in params.items() if not name.startswith("weight")}
    tokens, weights = plain.apply({"params": own}, examples())
    assert weights is None
    np.testing.assert_allclose(tokens, encode(params, examples()), rtol=1e-5, atol=1e-6)
