"""Policies practise in their own environment: their gradients are those of the return."""

from __future__ import annotations

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.learners import answers, registry
from mole_jax.learners.ancestors import practice
from mole_jax.learners.ancestors.practice import DISCOUNT, Rollouts
from mole_jax.tasks.environments.cartpole import CARTPOLE
from mole_jax.tasks.environments.world import World
from mole_jax.tasks.networks import policy
from mole_jax.training.learner import Episodes
from tests import tiny

KEY = jax.random.key(1)
NETWORK = policy.build(policy.PolicyConfig((3,), "tanh"), (4,), 1)
WORLD = World(jnp.asarray(CARTPOLE.default), CARTPOLE)
ACTING = {
    "data__source": "env:cartpole",
    "data__train_subsets": 4,
    "data__support_per_class": 6,
    "network__name": "gaussian_policy",
    "network__hidden": (5,),
    "metamodel__pairwise": False,
    "training__permute_labels": 0.0,
    "training__permute_units": False,
    "evaluation__shots": (),
}


@functools.cache
def setting_of(name: str) -> tiny.Setting:
    own = {
        f"learners__{name}__{key}": value
        for key, value in (
            *(("steps", 5), ("rollouts", 3), ("rollout_steps", 40)),
            *(("inner_steps", 2), ("try_steps", (2,)), ("try_rates", (1.0,))),
        )
    }
    return tiny.made_up(name, **ACTING, **own)


def drawn(setting: tiny.Setting, batch: int) -> Episodes:
    source = setting.source
    found: Episodes = source.draw(source.constants, (), jax.random.key(0), 0)
    return jax.tree.map(lambda x: jnp.resize(x, (batch, *x.shape[1:])), found)


def test_advantages_are_by_how_much_more_than_the_others_at_that_time() -> None:
    alive = np.array([[1, 1], [1, 1], [1, 0]], bool)  # [T, E]
    zeros = jnp.zeros((3, 2, 1))
    found = practice.advantages(
        Rollouts(zeros, zeros, jnp.asarray(alive, "float32"), jnp.asarray(alive))
    )
    longer = 1 + DISCOUNT + DISCOUNT**2, 1 + DISCOUNT
    shorter = 1 + DISCOUNT, 1.0
    apart = [(a - b) / 2 for a, b in zip(longer, shorter, strict=True)]
    plain = np.array([[apart[0], -apart[0]], [apart[1], -apart[1]], [0, 0]])
    spread = np.sqrt((plain**2).sum() / 5)
    np.testing.assert_allclose(found, plain / spread, rtol=1e-5)


def test_the_gradient_is_reinforces_and_its_gradient_has_both_terms() -> None:
    flat = NETWORK.spec.flatten(NETWORK.init(KEY))
    seen = practice.roll_out(NETWORK, NETWORK.spec.unflatten(flat), WORLD, KEY, 4, 30)
    weight = practice.advantages(seen) / seen.alive.sum()
    assert not np.asarray(seen.alive).all()  # episodes end within these steps

    def logs(flat: jax.Array) -> jax.Array:
        params = NETWORK.spec.unflatten(flat)
        return policy.log_probability(NETWORK, params, seen.observation, seen.action)

    def of(flat: jax.Array) -> jax.Array:
        return practice.loss(NETWORK, flat, WORLD, KEY, 4, 30)[0]

    by_hand = jax.grad(lambda x: -jnp.sum(logs(x) * weight))(flat)
    chex.assert_trees_all_close(jax.jit(jax.grad(of))(flat), by_hand, atol=1e-5)
    slopes = jax.jacobian(logs)(flat)  # [T, E, D]
    curved = jax.hessian(lambda x: -jnp.sum(logs(x) * weight))(flat)
    product = -jnp.einsum("te,tei,tej->ij", weight, slopes, slopes)
    found = jax.jit(jax.hessian(of))(flat)
    chex.assert_trees_all_close(found, curved + product, atol=1e-4)
    assert np.abs(product).max() > 1e-2  # which is what the logarithm alone would lack


def test_what_is_missed_is_the_share_of_steps_after_the_end() -> None:
    flat = NETWORK.spec.flatten(NETWORK.init(KEY))
    seen = practice.roll_out(NETWORK, NETWORK.spec.unflatten(flat), WORLD, KEY, 5, 60)
    missed = practice.loss(NETWORK, flat, WORLD, KEY, 5, 60)[1]
    assert float(missed) == pytest.approx(1 - np.asarray(seen.alive).mean(), abs=1e-6)
    lived = np.asarray(seen.alive).sum(0)
    assert (lived < 60).all() and len(set(lived.tolist())) > 1


@pytest.mark.parametrize("name", registry.PRACTISING)
def test_one_device_parts_and_eight_find_the_same_gradient(name: str) -> None:
    s = setting_of(name)
    batch, found = drawn(s, 8), []
    assert batch.world is not None and batch.query is None
    for n, parts in ((1, 1), (1, 2), (8, 1)):
        mesh = tiny.mesh_of(n)
        given = jax.device_put((s.params, batch, KEY), mesh_lib.replicated(mesh))
        grads, metrics = jax.jit(s.learner.on(mesh, parts).gradient)(*given)
        chex.assert_trees_all_equal_shapes_and_dtypes(grads, s.params)
        assert 0 < float(metrics["loss"]) < 1
        found.append(np.concatenate([x.ravel() for x in jax.tree.leaves(grads)]))
    for other in found[1:]:
        assert np.linalg.norm(other - found[0]) < 1e-3 * np.linalg.norm(found[0])


@pytest.mark.parametrize("name", registry.PRACTISING)
def test_it_looks_at_the_world_and_not_at_the_support_set(name: str) -> None:
    s = setting_of(name)
    given, request = drawn(s, 3), answers.all_of(jnp.zeros(3))
    assert s.learner.uses._replace(samples=False, pool=False) == (False,) * 6
    assert s.learner.uses.samples and s.learner.uses.pool

    def asked(episodes: Episodes, key: jax.Array = KEY) -> np.ndarray:
        return np.asarray(answers.adapt(s.learner, s.params, episodes, request, key))

    first = asked(given)
    assert np.isfinite(first).all() and first.shape == (3, s.family.network.spec.size)
    other = jax.tree.map(lambda x: x[::-1], given.support)
    np.testing.assert_array_equal(asked(given._replace(support=other)), first)
    assert np.abs(asked(given, jax.random.key(9)) - first).max() > 1e-4
    world = jax.tree.map(lambda x: x[::-1], given.world)
    assert np.abs(asked(given._replace(world=world)) - first).max() > 1e-4


def test_who_needs_labels_is_refused_and_told_who_practises() -> None:
    config = tiny.tiny_config(**ACTING, learners__l2l__steps=5)
    network = setting_of("maml").family.network
    with pytest.raises(UserError, match=r"learners\.l2l\.steps=5 needs labelled.*maml, fomaml"):
        registry.check(config, network, tiny.mesh_of(1))
    config = tiny.tiny_config(**ACTING, learners__maml__steps=5, learners__maml__rollouts=1)
    with pytest.raises(UserError, match="rollouts must be 2 or more"):
        registry.check(config, network, tiny.mesh_of(1))


def test_practice_pays() -> None:
    """A few steps of plain descent on rollouts raise the return of a fresh policy."""
    flat = jax.vmap(lambda k: NETWORK.spec.flatten(NETWORK.init(k)))(jax.random.split(KEY, 8))

    @jax.jit
    @jax.vmap
    def trained(flat: jax.Array, key: jax.Array) -> Any:
        def step(flat: jax.Array, key: jax.Array) -> Any:
            of = functools.partial(practice.loss, NETWORK, world=WORLD, episodes=10, steps=60)
            (_, missed), slope = jax.value_and_grad(lambda x: of(x, key=key), has_aux=True)(flat)
            return flat - slope, missed

        return jax.lax.scan(step, flat, jax.random.split(key, 30))[1]

    missed = np.asarray(trained(flat, jax.random.split(jax.random.key(2), 8))).mean(0)
    assert missed[-5:].mean() < 0.7 * missed[:5].mean()
