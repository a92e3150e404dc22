"""The evolved rule: what it is made of, and that gradient descent is one of its rules."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.learners import answers, query_loss, registry
from mole_jax.learners.ancestors import evolved
from mole_jax.learners.ancestors.evolved import EvolvedConfig
from mole_jax.tasks.networks import mlp
from tests import tiny
from tests.learners.ancestors.test_maml import episodes, of_task

NETWORK = mlp.build(mlp.MLPConfig((4, 5)), (3,), 3)
RATE = 0.2


def test_activation_times_error_is_gradient_descent() -> None:
    learner = evolved.build(EvolvedConfig(inner_steps=1), NETWORK, "evolved")
    given = episodes(masked=True)
    rng = np.random.default_rng(0)
    start = jnp.asarray(rng.normal(size=(2, NETWORK.spec.size)), "float32")
    rule = np.zeros(evolved.TERMS, np.float32)
    rule[1, 2, 0] = RATE  # the activation before, the error after, whatever the weight
    theta = {"mean": {"hidden": jnp.asarray(rule), "output": jnp.asarray(rule)}}
    given = given._replace(start=start)
    found = answers.adapt(learner, theta, given, answers.all_of(jnp.zeros(2)), jax.random.key(0))
    for i in range(2):
        support = of_task(given.support, i)
        slope = jax.grad(lambda x, s=support: query_loss.of_one(NETWORK, x, s)[0])(start[i])
        chex.assert_trees_all_close(found[i], start[i] - RATE * slope, atol=1e-5)


def test_it_begins_as_a_rule_that_changes_nothing() -> None:
    learner = evolved.build(EvolvedConfig(), NETWORK, "evolved")
    given = episodes()
    start = jnp.ones((2, NETWORK.spec.size))
    found = answers.adapt(
        learner,
        learner.init(jax.random.key(0)),
        given._replace(start=start),
        answers.all_of(jnp.zeros(2)),
        jax.random.key(0),
    )
    np.testing.assert_array_equal(found, start)


@pytest.mark.parametrize("changes", [{"network__name": "vit"}, {"network__activation": "tanh"}])
def test_other_networks_are_refused(changes: dict[str, str]) -> None:
    config = tiny.tiny_config(learners__evolved__steps=5, **changes)
    with pytest.raises(UserError, match=r"learners\.evolved\.steps=5: its rule is for network"):
        registry.check(config, NETWORK, tiny.mesh_of(1))
