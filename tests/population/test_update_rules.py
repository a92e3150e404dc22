"""Any update rule trains members: it is an argument, a pair of functions and what is learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core import rng
from mole_jax.population import engine, member, optimizer, ppo
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import History
from mole_jax.population.optimizer import Update
from mole_jax.population.ppo import PPORecipe
from mole_jax.tasks import networks
from mole_jax.tasks.environments.cartpole import CARTPOLE
from tests import tiny


def sign(
    theta: None, hyper: Hyperparameters, state: Any, grads: Any, params: Any, rate: Any
) -> Any:
    """Sign descent: every number moves by the learning rate."""
    scale = hyper.learning_rate * rate
    return jax.tree.map(lambda p, g: p - scale * jnp.sign(g), params, grads), state


SIGN = Update(lambda theta, params: (), sign)


def cell_init(theta: Any, params: Any) -> Any:
    """A carry of its own for every number of a network: [..., H]."""
    return jax.tree.map(lambda p: jnp.zeros((*p.shape, len(theta["out"]))), params)


def cell(theta: Any, hyper: Hyperparameters, state: Any, grads: Any, params: Any, rate: Any) -> Any:
    """A small recurrent network reads each number's gradient and says how it moves."""

    def carried(h: jax.Array, g: jax.Array) -> jax.Array:
        return jnp.tanh(h @ theta["carry"] + jnp.tensordot(jnp.arcsinh(10 * g), theta["in"], 0))

    state = jax.tree.map(carried, state, grads)
    scale = hyper.learning_rate * rate
    return jax.tree.map(lambda p, h: p - scale * (h @ theta["out"]), params, state), state


def recurrent(scale: float = 1.0) -> Update:
    n = 3
    theta = {"carry": 0.5 * jnp.eye(n), "in": jnp.ones(n), "out": scale * jnp.ones(n) / n}
    return Update(cell_init, cell, theta)


@pytest.fixture(name="quickly")
def compile_quickly() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


def constant(population: Any, *optimizers: str) -> Any:
    """The population with a constant learning rate and, where they are given, other optimizers."""
    recipe = dataclasses.replace(population.recipe, schedule="constant")
    return population._replace(recipe=dataclasses.replace(recipe, optimizers=optimizers))


def test_the_recipes_optimizers_are_an_update_like_any_other(
    population: Any, history: History, make_mesh: Any
) -> None:
    """The rule decides, not the names of the recipe, and to the last bit."""
    names = population.recipe.optimizers
    other = dataclasses.replace(population.recipe, optimizers=("sgd",), coupled_decay=True)
    mixed = optimizer.of_names(names)
    same = population._replace(recipe=other).train(make_mesh(1), update=mixed)
    assert tiny.equal_trees(same, history)


@pytest.mark.usefixtures("quickly")
def test_sign_descent_moves_every_number_by_the_rate(population: Any, make_mesh: Any) -> None:
    chosen = constant(population)
    history: Any = jax.tree.map(np.asarray, chosen.train(make_mesh(1), update=SIGN))
    rate = np.asarray(population.hyper.learning_rate)[..., None, None]
    moved = (history.parameters[:, :, 1:] - history.parameters[:, :, :1]) / rate
    steps = np.array(chosen.recipe.snapshot_steps[1:])[:, None]
    assert np.abs(moved).max() > 1
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-3)
    assert np.all(np.abs(np.round(moved)) <= steps)
    loss = history.metrics["train_loss"]
    assert np.all(loss[..., -1] < loss[..., 0])


@pytest.mark.usefixtures("quickly")
def test_a_recurrent_rule_trains_members_each_with_a_carry_of_its_own(
    population: Any, make_mesh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, update = constant(population), recurrent()
    history: Any = jax.tree.map(np.asarray, chosen.train(make_mesh(1), update=update))
    loss = history.metrics["validation_loss"]
    assert np.all(loss[..., -1] < loss[..., 0])
    monkeypatch.setattr(engine, "cpu_threads", lambda mesh: 2)
    other = chosen.train(make_mesh(1), update=update, at_once=1)
    np.testing.assert_allclose(other.parameters, history.parameters, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("quickly")
def test_what_a_rule_has_learned_is_data(population: Any, make_mesh: Any) -> None:
    """Another theta needs no other program, and a rule that says 0 moves nothing."""
    chosen = constant(population)
    chosen.train(make_mesh(1), update=recurrent())
    programs = engine._train._cache_size()
    still = chosen.train(make_mesh(1), update=recurrent(0.0))
    assert engine._train._cache_size() == programs
    for snapshot in range(1, still.parameters.shape[2]):
        np.testing.assert_array_equal(still.parameters[:, :, snapshot], population.starts)


@pytest.mark.usefixtures("quickly")
def test_steps_of_training_differentiate_with_respect_to_the_rule(population: Any) -> None:
    """What meta-training a rule takes: the gradient agrees with a difference quotient."""
    family, recipe = population.family, constant(population).recipe
    network, task = family.network, population.tasks[0]
    hyper = jax.tree.map(lambda x: x[0, 0], population.hyper)
    start = member.transposed_kernels(network, network.spec.unflatten(population.starts[0, 0]))

    @jax.jit
    def final(scale: jax.Array) -> jax.Array:
        update = recurrent()
        update = dataclasses.replace(update, theta={**update.theta, "out": scale * jnp.ones(3)})
        step = member.make_step(
            network, recipe, update, family.device_data, task, population.batch_keys[0], hyper
        )
        carry = (start, update.init(update.theta, start))
        (params, _), _ = jax.lax.scan(lambda c, i: (step(i, c), None), carry, jnp.arange(4))
        return member.evaluate(
            network, member.transposed_kernels(network, params), family.device_data, task
        )["train_loss"]  # fmt: skip

    at, h = 0.3, 3e-3
    slope = (final(jnp.float32(at + h)) - final(jnp.float32(at - h))) / (2 * h)
    np.testing.assert_allclose(jax.grad(final)(jnp.float32(at)), slope, rtol=2e-2)


@pytest.mark.usefixtures("quickly")
def test_policies_take_any_rule_too() -> None:
    policy = networks.build({"name": "gaussian_policy", "hidden": (3,)}, (4,), 1)
    recipe = PPORecipe(
        (0, 2), environments=2, rollout=3, epochs=1, minibatches=1, evaluation_episodes=1
    )
    hyper = Hyperparameters(*map(jnp.float32, (0.01, 0.0, 1.0)), jnp.int32(0))
    key = rng.key(0)

    @jax.jit
    def train(update: Update) -> History:
        environment = dataclasses.replace(CARTPOLE, horizon=5)
        problem, start = jnp.array(CARTPOLE.default), policy.init(key)
        return ppo.train(policy, recipe, update, environment, problem, key, start, hyper)

    found = train(recurrent())
    assert np.isfinite(found.parameters).all()
    assert np.abs(found.parameters[1] - found.parameters[0]).max() > 1e-3
