"""Readers of examples: what an answer may depend on."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.learners import answers
from mole_jax.learners.ancestors import self_referential, sequence
from mole_jax.learners.ancestors.sequence import Sequence, SequenceConfig
from mole_jax.tasks.networks import mlp
from tests import tiny
from tests.learners.ancestors.test_maml import episodes

NETWORK = mlp.build(mlp.MLPConfig((4,)), (3,), 3)
KEY = jax.random.key(3)


def reader(name: str, layers: int = 2) -> tuple[Sequence, Any]:
    learner = sequence.build(SequenceConfig(width=8, layers=layers, heads=2), NETWORK, name)
    return learner, tiny.random_like(jax.eval_shape(learner.init, jax.random.key(0)))


@pytest.mark.parametrize("name", sequence.LABELS)
def test_an_example_is_answered_before_its_label_is_seen(name: str) -> None:
    learner, theta = reader(name)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), "float32")
    said, mask = jax.nn.one_hot(jnp.array([0, 1, 2, 0, 1]), 3), jnp.ones(5, bool)
    apply = jax.jit(lambda said: learner.reader.apply({"params": theta}, x, said, mask, x[:2]))
    before, asked = apply(said)
    for i in range(5):
        other = said.at[i].set(jnp.roll(said[i], 1))
        answers_now, asked_now = apply(other)
        changed = np.abs(answers_now - before).max(axis=1) > 1e-6
        assert not changed[: i + 1].any()
        assert changed[i + 1 :].all() and np.abs(asked_now - asked).max() > 1e-6


@pytest.mark.parametrize("name", sequence.LABELS)
def test_queries_are_answered_one_by_one_and_masked_examples_are_none(name: str) -> None:
    learner, theta = reader(name)
    given = episodes(masked=True)
    inputs = jnp.asarray(np.random.default_rng(1).normal(size=(2, 4, 3)), "float32")
    whole = answers.classify(learner, theta, given, inputs, KEY)
    assert whole.shape == (2, 4, 3)
    part = answers.classify(learner, theta, given, inputs[:, 1:3], KEY)
    chex.assert_trees_all_close(whole[:, 1:3], part, atol=1e-5)
    there = given.support.mask[..., None]
    noise = given.support._replace(inputs=jnp.where(there, given.support.inputs, 9.0))
    chex.assert_trees_all_close(
        answers.classify(learner, theta, given._replace(support=noise), inputs, KEY),
        whole,
        atol=1e-6,
    )


def test_one_layer_of_attention_takes_examples_in_any_order_and_an_lstm_does_not() -> None:
    given = episodes()
    inputs = jnp.ones((2, 1, 3))
    for name, same in (("in_context", True), ("recurrent", False)):
        learner, theta = reader(name, layers=1)
        one, two = (
            answers.classify(learner, theta, given, inputs, jax.random.key(i)) for i in (0, 1)
        )
        assert (np.abs(one - two).max() < 1e-5) == same


def test_a_matrix_rewrites_itself_as_published() -> None:
    """Irie et al. 2022, equations 5 to 8, in NumPy: one head."""
    rng = np.random.default_rng(0)
    d = 3
    w = [rng.normal(size=(1, d, n)).astype("float32") for n in (d, d, d, 4)]
    x = rng.normal(size=(1, d)).astype("float32")

    def softmax(a: np.ndarray) -> np.ndarray:
        return np.exp(a) / np.exp(a).sum()

    key, query = (softmax(x[0] @ part[0]) for part in w[1:3])
    rates = 1 / (1 + np.exp(-(x[0] @ w[3][0])))
    expected = [
        part[0] + rate * np.outer(key, query @ part[0] - key @ part[0])
        for part, rate in zip(w, rates, strict=True)
    ]
    after, answer = self_referential.step(
        self_referential.Matrices(*map(jnp.asarray, w)), jnp.asarray(x)
    )
    np.testing.assert_allclose(answer[0], x[0] @ w[0][0], rtol=1e-5)
    for found, own in zip(after, expected, strict=True):
        np.testing.assert_allclose(found[0], own, rtol=1e-4, atol=1e-6)


def test_it_writes_no_network() -> None:
    learner, theta = reader("recurrent")
    given = episodes()
    assert not learner.writes_networks
    with pytest.raises(UserError, match="answers with classes, and writes no network"):
        learner.adapt(theta, given, answers.all_of(jnp.zeros(2)), KEY)
