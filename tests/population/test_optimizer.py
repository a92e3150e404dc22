"""Our optimizers are Optax's, alone and mixed in one population."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mole_jax.population import optimizer
from mole_jax.population.hyperparameters import OPTIMIZERS, Hyperparameters

PARAMS = {"a": {"kernel": jnp.linspace(-1.0, 2.0, 6).reshape(3, 2)}, "b": jnp.array([0.5])}
RATES = (1.0, 0.7, 0.3, 0.0, 0.2)  # of a schedule


def grads(params: Any, step: int | jax.Array) -> Any:
    return jax.tree.map(lambda p: jnp.sin(3 * p + step), params)


def of_optax(make: Any, lr: float) -> Any:
    params, tx = PARAMS, make(lambda step: lr * jnp.array(RATES)[step])
    state = tx.init(params)
    for step in range(len(RATES)):
        updates, state = tx.update(grads(params, step), state, params)
        params = optax.apply_updates(params, updates)
    return params


def ours(names: tuple[str, ...], hyper: Hyperparameters) -> Any:
    update = optimizer.of_names(names)
    params, state = PARAMS, update.init(None, PARAMS)
    for step, rate in enumerate(RATES):
        params, state = update.apply(
            None, hyper, state, grads(params, step), params, jnp.float32(rate)
        )
    return params


def sgd_with_decay(decay: float) -> Any:
    def make(lr: Any) -> optax.GradientTransformation:
        return optax.chain(
            optax.trace(decay=0.9, nesterov=True),
            optax.add_decayed_weights(decay),
            optax.scale_by_learning_rate(lr),
        )

    return make


EXPECTED = {  # (optimizer, learning rate, weight decay) -> the same by Optax
    ("adam", 0.05, 0.0): lambda: of_optax(optax.adam, 0.05),
    ("adam", 0.1, 0.3): lambda: of_optax(lambda lr: optax.adamw(lr, weight_decay=0.3), 0.1),
    ("sgd", 0.02, 0.0): lambda: of_optax(lambda lr: optax.sgd(lr, 0.9, nesterov=True), 0.02),
    ("sgd", 0.1, 0.3): lambda: of_optax(sgd_with_decay(0.3), 0.1),
}


def hyper(rows: list[tuple[str, float, float]]) -> Hyperparameters:
    names, rates, decays = zip(*rows, strict=True)
    return Hyperparameters(
        learning_rate=jnp.array(rates),
        weight_decay=jnp.array(decays),
        init_scale=jnp.ones(len(rows)),
        optimizer=jnp.array([OPTIMIZERS.index(n) for n in names], jnp.int32),
    )


@pytest.mark.parametrize("names", [("adam", "sgd"), ("sgd", "adam")])
def test_a_mixed_population_is_optax_member_by_member(names: tuple[str, ...]) -> None:
    members = hyper(list(EXPECTED))
    trained = jax.jit(jax.vmap(lambda h: ours(names, h)))(members)
    for i, expected in enumerate(EXPECTED.values()):
        jax.tree.map(
            lambda x, y, i=i: np.testing.assert_allclose(x[i], y, rtol=1e-5, atol=1e-6),
            trained,
            expected(),
        )


@pytest.mark.parametrize("row", list(EXPECTED), ids=str)
def test_a_population_of_one_optimizer_keeps_no_other_state(row: tuple[str, float, float]) -> None:
    name = row[0]
    one = jax.tree.map(lambda x: x[0], hyper([row]))
    assert set(optimizer.of_names((name,)).init(None, PARAMS)) == {name}
    trained = jax.jit(lambda h: ours((name,), h))(one)
    chex.assert_trees_all_close(trained, EXPECTED[row](), rtol=1e-5, atol=1e-6)


def test_a_rate_of_zero_moves_nothing() -> None:
    one = jax.tree.map(lambda x: x[0], hyper([("adam", 0.1, 0.3)]))
    adam = optimizer.of_names(("adam",))
    state = adam.init(None, PARAMS)
    params, _ = adam.apply(None, one, state, grads(PARAMS, 0), PARAMS, jnp.float32(0))
    chex.assert_trees_all_equal(params, PARAMS)


def test_coupled_decay_is_pytorch_s() -> None:
    """PyTorch's SGD: d = g + w p; v = 0.9 v + d; p -= rate (d + 0.9 v), the decay of biases too."""
    hyper = Hyperparameters(*map(jnp.float32, (0.1, 0.3, 1.0)), jnp.int32(OPTIMIZERS.index("sgd")))
    sgd = optimizer.of_names(("sgd",), coupled_decay=True)
    params, state = PARAMS, sgd.init(None, PARAMS)
    expected = jax.tree.map(lambda p: np.asarray(p, np.float64), PARAMS)
    velocity = jax.tree.map(np.zeros_like, expected)
    for step, rate in enumerate(RATES):
        params, state = sgd.apply(
            None, hyper, state, grads(params, step), params, jnp.float32(rate)
        )
        full = jax.tree.map(lambda p, step=step: np.sin(3 * p + step) + 0.3 * p, expected)
        velocity = jax.tree.map(lambda v, d: 0.9 * v + d, velocity, full)
        expected = jax.tree.map(
            lambda p, d, v, rate=rate: p - 0.1 * rate * (d + 0.9 * v), expected, full, velocity
        )
    chex.assert_trees_all_close(params, expected, rtol=2e-5, atol=0)
