"""What reproduces the papers' figures: functions as they describe them, and optimizers' curves."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.ancestors import optimizers, readers, sinusoids, tables
from benchmarks.ancestors.functions import Functions, regressor


def test_sinusoids_are_those_of_the_paper() -> None:
    draw = jax.jit(jax.vmap(sinusoids.sines((1.0, 1.0), 8, spaced=100)))
    x, y = draw(jax.random.split(jax.random.key(0), 400))
    assert x.shape == (400, 108, 1) and np.abs(x).max() <= 5
    np.testing.assert_allclose(x[:, 8:, 0], np.tile(np.linspace(-5, 5, 100), (400, 1)), atol=1e-5)
    top = np.abs(y[:, 8:]).max(axis=1)
    assert top.max() < 5.0 and top.min() < 0.5 and top.max() > 4.8
    # A sine of frequency 1: its second derivative is minus itself.
    curve = np.asarray(y[:, 8:])
    step = 10 / 99
    second = (curve[:, 2:] - 2 * curve[:, 1:-1] + curve[:, :-2]) / step**2
    np.testing.assert_allclose(second, -curve[:, 1:-1], atol=0.06)


def test_quadratics_are_made_of_their_monomials() -> None:
    x, y = readers.quadratics(9)(jax.random.key(0))
    found, *_ = np.linalg.lstsq(np.asarray(readers.monomials(x)), np.asarray(y), rcond=None)
    np.testing.assert_allclose(readers.monomials(x) @ found, y, atol=1e-4)
    assert np.abs(found).max() <= 1.001


def test_support_and_query_are_of_one_function() -> None:
    network = regressor(2, (3,))
    source = Functions(network, readers.quadratics(9), 6, batch_size=4)
    given = jax.jit(lambda step: source.draw((), (), jax.random.key(0), step))(3)
    assert given.support.inputs.shape == (4, 6, 2)
    assert given.query is not None and given.query.labels.shape == (4, 3)
    for i in range(4):
        fitted = np.linalg.solve(
            np.asarray(readers.monomials(given.support.inputs[i])),
            np.asarray(given.support.labels[i]),
        )
        expected = np.asarray(readers.monomials(given.query.inputs[i])) @ fitted
        np.testing.assert_allclose(given.query.labels[i], expected, atol=1e-3)


def test_a_curve_is_the_loss_before_each_step() -> None:
    problem, key = optimizers.quadratics(3), jax.random.key(0)
    losses = np.asarray(optimizers.curve(problem, optax.sgd(0.01), key, 4))
    theta, expected = problem.start(key), []
    for _ in range(4):
        loss, slope = jax.value_and_grad(problem.loss)(theta, key, key)
        expected.append(float(loss))
        theta = theta - 0.01 * slope
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert losses[-1] < losses[0]


def test_a_learned_optimizer_is_trained_through_its_truncations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(optimizers, "STEPS", 4)
    monkeypatch.setattr(optimizers, "TRUNCATION", 2)
    learner = optimizers.Optimizer(optimizers.quadratics(3))
    theta = learner.init(jax.random.key(0))
    keys = optimizers.Draws(5).draw((), (), jax.random.key(1), 0)
    grads, metrics = jax.jit(learner.gradient)(theta, keys, jax.random.key(2))
    assert jax.tree.structure(grads) == jax.tree.structure(theta)
    assert optax.tree.norm(grads) > 0 and np.isfinite(metrics["loss"])
    curves = jax.vmap(
        lambda key: optimizers.curve(
            learner.problem, optimizers.learned_optimizer.transformation(theta, "lstm", 0.1), key, 5
        )
    )(keys)
    np.testing.assert_allclose(jnp.mean(curves[:, 1:]), metrics["loss"], rtol=1e-4)


def test_tables_show_what_was_published_next_to_what_came_out() -> None:
    row = {"setting": "s", "learner": "MAML", "shots": 5, "steps": 1, "error": 0.63, "half": 0.07}
    known = {"error": 0.67, "half": None, "source": "table 2"}
    found = tables.of("sinusoids", [{**row, "published": known}, {**row, "published": None}])
    assert "0.630 ± 0.070" in found and "| 0.670" in found and "table 2" in found
