"""Polishing: gradient steps on the support set after a network is written."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.learners import polish, query_loss
from mole_jax.learners.polish import Polish
from mole_jax.metamodel.networks import warps
from mole_jax.tasks.examples import Examples
from tests import tiny
from tests.learners.test_registry import KEY, asked, episodes, setting_of

N, STEPS = 3, 4


@pytest.fixture(scope="module")
def given() -> tuple[Any, jax.Array, Examples]:
    """Return a network, N sets of parameters, and a support set for each."""
    family = tiny.made_up().family
    network, keys = family.network, jax.random.split(jax.random.key(0), N)
    flat = jnp.stack([network.spec.flatten(network.init(key)) for key in keys])
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(N, 6, network.example_size)).astype(np.float32)
    labels = np.tile(np.arange(6) % network.n_classes, (N, 1))
    return network, flat, Examples(jnp.asarray(inputs), jnp.asarray(labels), jnp.ones((N, 6), bool))


def losses(network: Any, flat: jax.Array, support: Examples) -> np.ndarray:
    return np.array([query_loss.of_one(network, f, one(support, i))[0] for i, f in enumerate(flat)])


def one(support: Examples, i: int) -> Examples:
    return jax.tree.map(lambda x: x[i], support)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_it_descends_on_the_support_set_as_the_warps_show_it(given: Any, strength: float) -> None:
    network, flat, support = given
    found = polish.polished(Polish(STEPS, strength), network, flat, support)
    looks = warps.of_steps(network.input_shape, strength, STEPS)
    x = flat[1]
    for along_rows, along_columns in zip(*looks, strict=True):
        own = one(support, 1)
        seen = warps.moved(own.inputs, network.input_shape, along_rows, along_columns)
        own = own._replace(inputs=seen)
        x = x - polish.RATE * jax.grad(lambda x, own=own: query_loss.of_one(network, x, own)[0])(x)
    np.testing.assert_allclose(found[1], x, atol=1e-5)
    assert (losses(network, found, support) < losses(network, flat, support)).all()


def test_steps_that_would_make_it_worse_leave_a_network_as_it_was(given: Any) -> None:
    """Pixels a thousand times as large make steps of this rate diverge."""
    network, flat, support = given
    huge = support._replace(inputs=support.inputs.at[1].multiply(1e3))
    found = polish.polished(Polish(20), network, flat, huge)
    np.testing.assert_array_equal(found[1], flat[1])
    assert (losses(network, found, huge)[[0, 2]] < losses(network, flat, huge)[[0, 2]]).all()


def test_no_steps_change_nothing(given: Any) -> None:
    network, flat, support = given
    assert polish.polished(polish.NONE, network, flat, support) is flat


def test_one_support_set_serves_all_and_padding_does_not_count(given: Any) -> None:
    network, flat, support = given
    first = jax.tree.map(lambda x: x[:1], support)
    shared = polish.polished(Polish(STEPS), network, flat, first)
    alone = polish.polished(Polish(STEPS), network, flat[1:2], first)
    np.testing.assert_allclose(shared[1], alone[0], atol=1e-5)
    padded = Examples(
        jnp.concatenate([first.inputs, 9 + first.inputs], axis=1),
        jnp.concatenate([first.labels, first.labels[:, ::-1]], axis=1),
        jnp.concatenate([first.mask, jnp.zeros_like(first.mask)], axis=1),
    )
    np.testing.assert_allclose(
        polish.polished(Polish(STEPS), network, flat[1:2], padded)[0], alone[0], atol=1e-5
    )


def test_absent_outputs_stay_as_they_are(given: Any) -> None:
    network, flat, support = given
    few = support._replace(
        labels=support.labels % (network.n_classes - 1),
        n_classes=jnp.full(N, network.n_classes - 1),
    )
    found = network.spec.unflatten(polish.polished(Polish(STEPS), network, flat, few)[0])
    before = network.spec.unflatten(flat[0])
    changed = [
        jax.tree_util.keystr(path)
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(before), strict=True
        )
        if a.shape[-1:] == (network.n_classes,)
        and (np.array_equal(a[..., :-1], b[..., :-1]) or not np.array_equal(a[..., -1], b[..., -1]))
    ]
    assert not changed


@pytest.mark.parametrize("name", ["diffusion", "end_to_end"])
def test_a_learner_polishes_what_it_writes_and_not_in_its_training(name: str) -> None:
    s = setting_of(name)
    own = s.learner.polished(STEPS)
    assert own is not None
    given = episodes(s)
    plain, found = asked(s, given), asked(dataclasses.replace(s, learner=own), given)
    expected = polish.polished(Polish(STEPS), s.learner.network, plain, given.support)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - plain).max() > 1e-3
    draw = s.source.draw
    batch = jax.eval_shape(lambda: draw(s.source.constants, s.zoo, jax.random.key(0), 0))
    programs = [jax.make_jaxpr(x.gradient)(s.params, batch, KEY) for x in (s.learner, own)]
    assert str(programs[0]) == str(programs[1])


@pytest.mark.parametrize("name", ["gpt", "maml", "in_context"])
def test_who_has_no_use_for_it_says_so(name: str) -> None:
    assert setting_of(name).learner.polished(STEPS) is None
