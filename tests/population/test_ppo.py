"""PPO is a pure function that learns, alone as beside others, and counts what it should."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.population import optimizer, ppo
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import History
from mole_jax.population.ppo import PPORecipe
from mole_jax.tasks import networks
from mole_jax.tasks.environments.cartpole import CARTPOLE
from mole_jax.tasks.networks import Network, policy
from tests import tiny

CONFIG = {"hidden": (8,), "activation": "selu"}
GAUSSIAN = networks.build({**CONFIG, "name": "gaussian_policy"}, (4,), 1)
CATEGORICAL = networks.build({**CONFIG, "name": "categorical_policy"}, (4,), 3)
# Short episodes, so that tests see all kinds of ends.
SHORT = dataclasses.replace(CARTPOLE, horizon=30)
RECIPE = PPORecipe(
    (0, 1, 4), environments=6, rollout=16, epochs=2, minibatches=3, evaluation_episodes=3
)
DEFAULT = jnp.array(CARTPOLE.default)
ADAM = optimizer.of_names(("adam",))


def hypers(n: int, learning_rate: float) -> Hyperparameters:
    rates = jnp.full(n, learning_rate)
    return Hyperparameters(rates, jnp.zeros(n), jnp.ones(n), jnp.zeros(n, jnp.int32))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def population(
    network: Network,
    recipe: PPORecipe,
    environment: Any,
    problems: jax.Array,
    keys: jax.Array,
    hyper: Hyperparameters,
) -> History:
    def one(problem: jax.Array, key: jax.Array, hyper: Hyperparameters) -> History:
        start = network.init(rng.named(key, "start"))
        return ppo.train(network, recipe, ADAM, environment, problem, key, start, hyper)

    return jax.vmap(one)(problems, keys, hyper)


def short(
    network: Network = GAUSSIAN,
    members: slice = slice(None),
    recipe: PPORecipe = RECIPE,
    seed: int = 0,
) -> History:
    """Some of three members on three problems."""
    problems = jax.vmap(SHORT.sample)(jax.random.split(jax.random.key(9), 3))[members]
    keys = jax.random.split(jax.random.key(seed), 3)[members]
    hyper = hypers(len(problems), 1e-2)
    with tiny.quick_compilation():
        history = population(network, recipe, SHORT, problems, keys, hyper)
    return jax.tree.map(np.asarray, history)


@pytest.mark.parametrize("network", [GAUSSIAN, CATEGORICAL], ids=lambda n: n.name)
def test_a_history_is_complete_and_finite(network: Network) -> None:
    history = short(network)
    assert history.parameters.shape == (3, 3, network.spec.size)
    assert set(history.metrics) == set(ppo.METRICS)
    for name, values in history.metrics.items():
        assert values.shape == (3, 3)
        assert np.isfinite(values).all()
        if name.endswith("_return"):
            assert ((values >= 1) & (values <= SHORT.horizon)).all()
            loss = history.metrics[name.replace("return", "loss")]
            np.testing.assert_allclose(loss, 1 - values / SHORT.horizon, atol=1e-6)
    start = network.init(rng.named(jax.random.split(jax.random.key(0), 3)[1], "start"))
    np.testing.assert_allclose(history.parameters[1, 0], network.spec.flatten(start), rtol=1e-6)
    assert (np.abs(np.diff(history.parameters, axis=1)).max(-1) > 1e-3).all()


def test_a_solo_member_is_the_member_of_the_population() -> None:
    together = short()
    for member in range(3):
        alone = short(members=slice(member, member + 1))
        one = jax.tree.map(lambda x, m=member: x[m : m + 1], together)
        chex.assert_trees_all_close(alone, one, rtol=1e-3, atol=1e-4)


def test_training_depends_on_its_arguments_alone() -> None:
    first = short()
    chex.assert_trees_all_equal(first, short())
    assert (np.abs(first.parameters - short(seed=1).parameters).max(-1) > 1e-3).all()


def test_snapshots_only_look() -> None:
    few = dataclasses.replace(RECIPE, snapshot_steps=(0, 4))
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x[:, -1], y[:, -1], rtol=1e-3, atol=1e-4),
        short(recipe=few),
        short(),
    )


def test_a_policy_learns_to_balance() -> None:
    """From falling over at once to many times as long, on each of four problems."""
    recipe = PPORecipe(
        (0, 30),
        environments=16,
        rollout=64,
        epochs=4,
        minibatches=4,
        discount=0.995,
        gae_lambda=0.98,
        evaluation_episodes=4,
    )
    problems = jnp.stack([DEFAULT, DEFAULT, DEFAULT.at[4].set(-10.0), DEFAULT.at[5].set(0.05)])
    keys = jax.random.split(jax.random.key(0), 4)
    history = population(GAUSSIAN, recipe, CARTPOLE, problems, keys, hypers(4, 2e-2))
    for name in ("validation_return", "test_return", "train_return"):
        before, after = np.asarray(history.metrics[name]).T
        assert before.mean() < 60, name
        assert after.mean() > 200, name
        assert (after > before).all(), name


def test_advantages_are_those_of_a_plain_loop() -> None:
    """A cut-off episode goes on in the value network, one that terminated does not."""
    shape = steps, n = 7, 3
    draw = np.random.default_rng(0)
    terminated = draw.random(shape) < 0.2
    ended = terminated | (draw.random(shape) < 0.2)
    assert (ended & ~terminated).any() and terminated.any()
    reward = draw.normal(size=shape).astype(np.float32)
    before, after = draw.normal(size=(2, *shape, 1)).astype(np.float32)
    # A value network that knows the answer: it puts out its observation.
    critic = dataclasses.replace(GAUSSIAN, apply=lambda params, x: x)
    seen = ppo._Transition(before, before, reward, reward, after, terminated, ended)
    recipe = dataclasses.replace(RECIPE, discount=0.9, gae_lambda=0.8)
    batch = ppo._batch(recipe, critic, {}, seen)

    expected = np.zeros(shape)
    for e in range(n):
        later = 0.0
        for t in reversed(range(steps)):
            onward = 0.0 if terminated[t, e] else after[t, e, 0]
            surprise = 0.1 * reward[t, e] + 0.9 * onward - before[t, e, 0]
            later = surprise + (0.0 if ended[t, e] else 0.9 * 0.8 * later)
            expected[t, e] = later
    np.testing.assert_allclose(batch.advantage, expected.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(batch.value, (expected + before[..., 0]).T, rtol=1e-4, atol=1e-5)


def test_rollouts_go_on_where_they_were_and_start_anew_at_the_end() -> None:
    recipe = dataclasses.replace(RECIPE, environments=20, rollout=50)
    params = GAUSSIAN.init(jax.random.key(0))
    key = jax.random.key(1)
    begin = jax.jit(ppo._begin, static_argnums=(0, 1, 2))
    worlds = begin(GAUSSIAN, recipe, SHORT, DEFAULT, key, params)
    started = np.asarray(worlds.finished)
    assert ((started >= 1) & (started <= 30)).all() and len(np.unique(started)) > 1
    rollout = jax.jit(ppo._rollout, static_argnums=(0, 1, 2))
    later, seen = rollout(GAUSSIAN, recipe, SHORT, DEFAULT, key, worlds, params)
    first = jax.vmap(SHORT.observe)(worlds.state)
    worlds, later, seen = jax.tree.map(np.asarray, (worlds, later, seen))
    ended, terminated = seen.ended, seen.terminated
    assert terminated.any() and (ended & ~terminated).any()
    assert not (terminated & ~ended).any()
    for e in range(20):
        bounds = [-1, *np.flatnonzero(ended[:, e])]
        lengths = np.diff(bounds)
        assert (lengths <= 30).all()
        cut = [not terminated[t, e] for t in bounds[1:]]
        assert (lengths[cut] == 30).all()
        assert later.finished[e] == (lengths[-1] if len(lengths) else worlds.finished[e])
        assert later.time[e] == later.so_far[e] == 49 - bounds[-1]
        follows = (seen.observation[1:, e] == seen.after[:-1, e]).all(-1)
        np.testing.assert_array_equal(follows, ~ended[:-1, e])
    np.testing.assert_allclose(seen.observation[0], first, rtol=1e-6)
    logs = policy.log_probability(GAUSSIAN, params, seen.observation, seen.action)
    np.testing.assert_allclose(seen.log_probability, logs, rtol=1e-4, atol=1e-5)


def test_the_clipped_surrogate_stops_pulling() -> None:
    """Where a good action has become likelier by more than the clip, its gradient is zero."""
    params = GAUSSIAN.init(jax.random.key(0))
    nets = {"policy": params, "value": ppo._critic(GAUSSIAN).init(jax.random.key(1))}
    observation = jax.random.normal(jax.random.key(2), (4, 2, 4))
    action = policy.sample(GAUSSIAN, params, observation, jax.random.key(3))
    logs = policy.log_probability(GAUSSIAN, params, observation, action)
    advantage = jnp.where(jnp.arange(8).reshape(4, 2) % 2 == 0, 1.0, -1.0)

    @jax.jit
    def pull(log_ratio: jax.Array) -> jax.Array:
        batch = ppo._Batch(observation, action, logs - log_ratio, advantage, advantage)
        grads = jax.grad(ppo._loss)(nets, GAUSSIAN, RECIPE, ppo._critic(GAUSSIAN), batch)
        return jnp.abs(GAUSSIAN.spec.flatten(grads["policy"])).max()

    assert pull(jnp.zeros((4, 2))) > 1e-3
    assert pull(0.5 * advantage) == 0  # good ones likelier, bad ones rarer already
    assert pull(-0.5 * advantage) > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environments": 0}, "population.environments=0 must be 1 or more"),
        ({"minibatches": 4}, "population.minibatches=4 must divide population.environments=6"),
        ({"clip": 0.0}, "population.clip"),
        ({"discount": 1.0}, "population.discount=1.0 must be 0 or more and below 1"),
        ({"gae_lambda": 1.1}, "population.gae_lambda"),
        ({"schedule": "linear"}, "population.schedule='linear' is unknown"),
        ({"snapshot_steps": (1, 2)}, "snapshot_steps"),
        ({"snapshot_steps": (0, 2, 2)}, "snapshot_steps"),
    ],
)
def test_impossible_recipes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ppo.check(dataclasses.replace(RECIPE, **changes), GAUSSIAN, CARTPOLE)


def test_networks_that_do_not_fit_are_refused() -> None:
    mlp = networks.build({**CONFIG, "name": "mlp"}, (4,), 1)
    with pytest.raises(UserError, match="'mlp' is no policy"):
        ppo.check(RECIPE, mlp, CARTPOLE)
    for shape, outputs in (((3,), 1), ((4,), 2)):
        other = networks.build({**CONFIG, "name": "gaussian_policy"}, shape, outputs)
        with pytest.raises(UserError, match="does not fit 'cartpole'"):
            ppo.check(RECIPE, other, CARTPOLE)
    ppo.check(RECIPE, CATEGORICAL, CARTPOLE)


def test_the_recipe_by_default_is_the_references() -> None:
    recipe = PPORecipe((0, 500))
    assert recipe.environments * recipe.rollout == 512 * 16
    assert recipe.epochs * recipe.minibatches == 16
    ppo.check(recipe, GAUSSIAN, CARTPOLE)
