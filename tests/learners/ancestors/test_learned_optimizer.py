"""Learned optimizers are optimizers of Optax, and see nothing but coordinates."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mole_jax.learners.ancestors import learned_optimizer
from tests import tiny

PARAMS = {"a": jnp.arange(6.0).reshape(2, 3) / 5, "b": jnp.array([0.3, -2.0])}


def weights(kind: str) -> object:
    shapes = jax.eval_shape(lambda: learned_optimizer.init(kind, jax.random.key(0)))
    return tiny.random_like(shapes)


def updates(kind: str, params: object, gradients: list[object]) -> list[object]:
    optimizer = learned_optimizer.transformation(weights(kind), kind, 0.1)
    state, found = optimizer.init(params), []
    step = jax.jit(optimizer.update)
    for g in gradients:
        update, state = step(g, state, params)
        found.append(update)
    return found


def draws(seed: int, n: int = 3) -> list[dict[str, jax.Array]]:
    rng = np.random.default_rng(seed)
    return [
        jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), "float32"), PARAMS)
        for _ in range(n)
    ]


@pytest.mark.parametrize("kind", learned_optimizer.KINDS)
def test_it_has_a_memory_and_updates_of_the_parameters_shape(kind: str) -> None:
    first, second = draws(0, 1), draws(1, 1)
    alone = updates(kind, PARAMS, second)[0]
    after = updates(kind, PARAMS, [*first, *second])[1]
    chex.assert_trees_all_equal_shapes_and_dtypes(alone, PARAMS)
    assert np.abs(alone["a"] - after["a"]).max() > 1e-7


@pytest.mark.parametrize("kind", learned_optimizer.KINDS)
def test_coordinates_may_change_places(kind: str) -> None:
    """All coordinates have the same weights, so the order of a tensor's rows says nothing."""
    swap = lambda tree: jax.tree.map(lambda x: x[::-1], tree)  # noqa: E731
    gradients = draws(0)
    found = updates(kind, swap(PARAMS), [swap(g) for g in gradients])
    chex.assert_trees_all_close(
        found, [swap(u) for u in updates(kind, PARAMS, gradients)], atol=1e-6
    )


def test_the_lstm_does_not_know_where_tensors_end() -> None:
    flat = lambda tree: jnp.concatenate([tree["a"].ravel(), tree["b"]])  # noqa: E731
    gradients = draws(0)
    found = updates("lstm", flat(PARAMS), [flat(g) for g in gradients])
    expected = [flat(u) for u in updates("lstm", PARAMS, gradients)]
    chex.assert_trees_all_close(found, expected, atol=1e-6)


def test_the_mlp_sees_no_scale_of_gradients_and_needs_the_parameters() -> None:
    gradients = [jax.tree.map(lambda x: 1e5 * x, g) for g in draws(0)]
    larger = [jax.tree.map(lambda x: 1000 * x, g) for g in gradients]
    found, same = updates("mlp", PARAMS, gradients), updates("mlp", PARAMS, larger)
    chex.assert_trees_all_close(found, same, rtol=2e-3, atol=1e-8)
    optimizer = learned_optimizer.transformation(weights("mlp"), "mlp", 1.0)
    with pytest.raises(ValueError, match="needs the parameters"):
        optimizer.update(gradients[0], optimizer.init(PARAMS))


def test_gradients_of_all_sizes_are_between_minus_one_and_a_little_more() -> None:
    """Equations of appendix A: continuous at exp(-p), linear below it."""
    edge = np.exp(-learned_optimizer.SMALL)
    g = jnp.array([0.0, edge * (1 - 1e-3), edge * (1 + 1e-3), -1e-3, 1.0, 100.0])
    size, sign = np.asarray(learned_optimizer.log_and_sign(g)).T
    np.testing.assert_allclose(size, [-1, -1, -1 + 1e-4, np.log(1e-3) / 10, 0, np.log(100) / 10],
                               atol=1e-4)  # fmt: skip
    np.testing.assert_allclose(sign, [0, 1 - 1e-3, 1, -1, 1, 1], atol=1e-4)
    slope = jax.vmap(jax.grad(lambda x: learned_optimizer.log_and_sign(x[None]).sum()))(g)
    assert np.isfinite(slope).all()  # also at zero, where a logarithm has none


def test_it_can_be_part_of_a_chain_of_optax() -> None:
    own = learned_optimizer.transformation(weights("lstm"), "lstm", 0.1)
    chain = optax.chain(optax.clip(0.1), own)
    update, _ = chain.update(draws(0)[0], chain.init(PARAMS), PARAMS)
    chex.assert_trees_all_equal_shapes(update, PARAMS)
