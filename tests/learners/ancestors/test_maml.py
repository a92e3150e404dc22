"""Starts that adapt: their gradients are those of their papers' equations."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.learners import answers, query_loss
from mole_jax.learners.ancestors import descent, maml, reptile
from mole_jax.learners.ancestors.descent import DescentConfig
from mole_jax.metamodel.networks import warps
from mole_jax.tasks import networks
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import mlp
from mole_jax.training.learner import Episodes
from tests import tiny

KEY = jax.random.key(1)
CONFIG = DescentConfig(inner_steps=2, inner_rate=0.3)
NETWORK = mlp.build(mlp.MLPConfig((4,), "tanh"), (3,), 3)


def episodes(batch: int = 2, seed: int = 0, masked: bool = False) -> Episodes:
    rng = np.random.default_rng(seed)

    def examples(n: int) -> Examples:
        mask = np.ones((batch, n), bool)
        if masked:
            mask[:, n // 2 :] = False
        return Examples(
            jnp.asarray(rng.normal(size=(batch, n, 3)), "float32"),
            jnp.asarray(rng.integers(0, 3, (batch, n)), "int32"),
            jnp.asarray(mask),
        )

    start = jnp.asarray(rng.normal(size=(batch, NETWORK.spec.size)), "float32")
    return Episodes(jnp.zeros(batch, int), examples(6), start, jnp.zeros(batch), examples(5))


def loss(flat: jax.Array, examples: Examples) -> jax.Array:
    return query_loss.of_one(NETWORK, flat, examples)[0]


def of_task(examples: Examples, i: int) -> Examples:
    return Examples(*(x[i] for x in examples[:3]))


def by_hand(start: jax.Array, rates: Any, given: Episodes, *, through: bool) -> jax.Array:
    """The meta-loss, step by step and task by task."""
    total = jnp.zeros(())
    for i in range(len(given.start)):
        flat = start
        for _ in range(CONFIG.inner_steps):
            slope = jax.grad(loss)(flat, of_task(given.support, i))
            flat = flat - rates * (slope if through else jax.lax.stop_gradient(slope))
        assert given.query is not None
        total = total + loss(flat, of_task(given.query, i))
    return total / len(given.start)


def test_inner_steps_see_the_warps_that_moles_see() -> None:
    network = mlp.build(mlp.MLPConfig((4,), "tanh"), (8, 8, 1), 3)
    config = dataclasses.replace(CONFIG, inner_steps=3, warps=1.0)
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(1, 6, 64)), "float32")
    support = Examples(inputs, jnp.arange(6)[None] % 3, jnp.ones((1, 6), bool))
    start = jnp.asarray(rng.normal(size=network.spec.size), "float32")

    def descended(config: DescentConfig) -> jax.Array:
        one = Examples(*(x[0] for x in support[:3]))
        run = functools.partial(descent.descend, config, network, rate=0.3, steps=3)
        return jax.jit(lambda flat: run(flat, one, KEY))(start)

    def of_one(flat: jax.Array, examples: Examples) -> jax.Array:
        return query_loss.of_one(network, flat, examples)[0]

    @jax.jit
    def by_hand(flat: jax.Array) -> jax.Array:
        for seen in warps.varied(inputs, network.input_shape, 1.0, 3)[:, 0]:
            own = Examples(seen, support.labels[0], support.mask[0])
            flat = flat - 0.3 * jax.grad(of_one)(flat, own)
        return flat

    chex.assert_trees_all_close(descended(config), by_hand(start), atol=1e-5)
    plain = descended(dataclasses.replace(config, warps=0.0))
    assert float(jnp.abs(descended(config) - plain).max()) > 1e-3


@pytest.mark.parametrize("name", [maml.SECOND, maml.FIRST])
def test_the_gradient_is_that_of_the_adapted_networks_loss(name: str) -> None:
    learner, given = maml.build(CONFIG, NETWORK, name), episodes()
    theta = learner.init(jax.random.key(0))
    grads, metrics = jax.jit(learner.gradient)(theta, given, jax.random.key(1))
    value, expected = jax.jit(
        jax.value_and_grad(lambda x: by_hand(x, 0.3, given, through=name == maml.SECOND))
    )(theta["start"])
    chex.assert_trees_all_close(grads["start"], expected, atol=1e-5)
    assert float(metrics["loss"]) == pytest.approx(float(value), rel=1e-5)


def test_first_and_second_order_differ_and_meta_sgd_begins_as_maml() -> None:
    given, key = episodes(), jax.random.key(0)
    found = {}
    for name in maml.LABELS:
        learner = maml.build(CONFIG, NETWORK, name)
        found[name] = jax.jit(learner.gradient)(learner.init(key), given, key)[0]
    first, second, learned = (found[n] for n in (maml.FIRST, maml.SECOND, maml.LEARNED))
    assert np.abs(first["start"] - second["start"]).max() > 1e-3
    chex.assert_trees_all_close(learned["start"], second["start"], atol=1e-6)
    expected = jax.grad(
        lambda rates: by_hand(
            maml.build(CONFIG, NETWORK, maml.LEARNED).init(key)["start"], rates, given, through=True
        )
    )(jnp.full(NETWORK.spec.size, 0.3))
    chex.assert_trees_all_close(learned["rates"], expected, atol=1e-5)


def test_choices_are_steps_and_rates_with_one_theta() -> None:
    config = dataclasses.replace(CONFIG, try_steps=(0 + 1, 3), try_rates=(0.5, 1.0))
    learner, given = maml.build(config, NETWORK, maml.SECOND), episodes()
    theta, request = learner.init(jax.random.key(0)), answers.all_of(jnp.zeros(2))
    choices = learner.choices()
    assert [x.setting for x in choices] == [
        {"steps": n, "rate": rate} for n in (1, 3) for rate in (0.5, 1.0)
    ]
    found = np.stack([answers.adapt(x, theta, given, request, jax.random.key(0)) for x in choices])
    slope = jax.grad(loss)(theta["start"], of_task(given.support, 0))
    for row, scale in zip(found[:2], (0.5, 1.0), strict=True):
        chex.assert_trees_all_close(row[0], theta["start"] - 0.3 * scale * slope, atol=1e-5)
    assert np.abs(found[2] - found[0]).max() > 1e-3


@pytest.mark.parametrize("name", [*maml.LABELS, reptile.NAME])
def test_masked_examples_change_nothing(name: str) -> None:
    build = reptile.build if name == reptile.NAME else maml.build
    learner, given = build(CONFIG, NETWORK, name), episodes(masked=True)
    theta, request = learner.init(jax.random.key(0)), answers.all_of(jnp.zeros(2))
    there = given.support.mask[..., None]
    other = given.support._replace(inputs=jnp.where(there, given.support.inputs, 7.0))
    key = jax.random.key(0)
    one, two = (
        answers.adapt(learner, theta, given._replace(support=x), request, key)
        for x in (given.support, other)
    )
    chex.assert_trees_all_equal(one, two)
    assert np.abs(one[0] - one[1]).max() > 1e-3


def test_reptile_with_one_step_on_all_examples_follows_the_gradient() -> None:
    """Nichol et al. 2018, section 5.1: with one step it is training on the mean task."""
    config = dataclasses.replace(CONFIG, inner_steps=1)
    learner, given = reptile.build(config, NETWORK, reptile.NAME), episodes()
    few = given._replace(query=jax.tree.map(lambda x: x[:, :4], given.query))  # ten in all
    assert few.query is not None
    theta = learner.init(jax.random.key(0))
    found, _ = jax.jit(learner.gradient)(theta, few, jax.random.key(1))
    both = Examples(
        *(jnp.concatenate(x, 1) for x in zip(few.support[:3], few.query[:3], strict=True))
    )
    slopes = [jax.grad(loss)(theta["start"], of_task(both, i)) for i in range(2)]
    chex.assert_trees_all_close(found["start"], sum(slopes) / 2, atol=1e-5)


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_starts_of_other_networks_have_second_order_gradients(kind: str) -> None:
    config = tiny.tiny_config(network__name=kind, learners__maml__steps=5)
    network = networks.build(config.network, (8, 8, 1), 3)
    learner = maml.build(DescentConfig(inner_steps=2), network, maml.SECOND)
    rng = np.random.default_rng(0)

    def examples(n: int) -> Examples:
        x = jnp.asarray(rng.normal(size=(2, n, 64)), "float32")
        return Examples(x, jnp.asarray(rng.integers(0, 3, (2, n))), jnp.ones((2, n), bool))

    start = jnp.zeros((2, network.spec.size))
    given = Episodes(jnp.zeros(2, int), examples(3), start, jnp.zeros(2), examples(3))
    theta = jax.jit(learner.init)(jax.random.key(0))
    second = jax.jit(learner.gradient)(theta, given, KEY)[0]["start"]
    first = jax.jit(dataclasses.replace(learner, name=maml.FIRST).gradient)(theta, given, KEY)[0]
    assert np.isfinite(second).all()
    assert np.abs(second - first["start"]).max() > 1e-4 * np.abs(second).max()


def test_a_network_of_values_is_judged_by_its_squared_error() -> None:
    from benchmarks.ancestors.functions import regressor

    network = regressor(1, (3,))
    x, y = jnp.linspace(-1, 1, 4)[:, None], jnp.array([1.0, 2.0, 3.0, 9.0])
    mask = jnp.array([True, True, True, False])
    flat = network.spec.flatten(network.init(jax.random.key(0)))
    found, nothing = query_loss.of_one(network, flat, Examples(x, y, mask))
    predicted = network.apply(network.spec.unflatten(flat), x)[:, 0]
    assert float(found) == pytest.approx(float(np.mean((predicted - y)[:3] ** 2)), rel=1e-5)
    assert np.isnan(nothing)
