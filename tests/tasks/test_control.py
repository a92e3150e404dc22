"""Control tasks differ in their parameters, have names that tell them, and measure policies."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.tasks import control, networks
from mole_jax.tasks import family as families
from mole_jax.tasks.control import ControlFamily
from mole_jax.tasks.environments import rollout
from mole_jax.tasks.environments.cartpole import CARTPOLE
from tests import tiny

EPISODES = 3
GOLDEN = "cartpole-0.5985_0.1822_0.6146_10.65_-8.136_-0.1003"


def config(network: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    data = {"source": "env:cartpole", "train_subsets": 12, "held_out_subsets": 5, **changes}
    policy = {"name": "gaussian_policy", "hidden": (6,), "activation": "tanh", "choices": 3}
    return {
        "seed": 0,
        "data": tiny.data_config(**data),
        "network": {**policy, **(network or {})},
        "population": {"ppo": {"evaluation_episodes": EPISODES}},
    }


@pytest.fixture(scope="module")
def family() -> ControlFamily:
    found = families.build(config())
    assert isinstance(found, ControlFamily)
    return found


def test_tasks_are_told_by_their_names(family: ControlFamily) -> None:
    again = families.build(config())
    assert again.subsets == family.subsets
    assert len({s.id for s in family.subsets}) == 17
    assert [s.split for s in family.subsets] == ["train"] * 12 + ["S1"] * 5
    for subset in family.subsets:
        values = subset.id.removeprefix("cartpole-").split("_")
        assert tuple(map(float, values)) == subset.parameters
    assert family.manifest()["subsets"]["S1"] == [s.id for s in family.subsets[12:]]
    assert families.build({**config(), "seed": 1}).subsets != family.subsets
    assert family.subsets[0].id == GOLDEN, (
        "the drawn tasks or their names have changed: stored zoos name their tasks like this, and "
        "the same seed must hold out the same tasks"
    )


def test_a_support_set_tells_the_dynamics(family: ControlFamily) -> None:
    data, key = family.device_data, jax.random.key(1)
    support = data.support(jnp.int32(2), key, 20)
    assert support.inputs.shape == (20, family.network.example_size) == (20, 9)
    assert support.mask.all() and not support.labels.any()
    raw = rollout.transitions(CARTPOLE, data.parameters[2], key, 20)
    np.testing.assert_array_equal(support.inputs[:, :5], raw[:, :5])
    back = raw[:, :4] + support.inputs[:, 5:] * 10 * CARTPOLE.time_step
    np.testing.assert_allclose(back, raw[:, 5:], atol=1e-5)
    other = data.support(jnp.int32(3), key, 20)  # the same states and actions, another outcome
    np.testing.assert_array_equal(support.inputs[0, :5], other.inputs[0, :5])
    assert not np.allclose(support.inputs[0, 5:], other.inputs[0, 5:])


def test_a_policy_is_measured_greedily_and_pools_have_their_own_episodes(
    family: ControlFamily,
) -> None:
    network, data, task = family.network, family.device_data, jnp.int32(4)
    params = network.init(jax.random.key(0))
    measure = jax.jit(functools.partial(data.measure, network), static_argnums=1)

    def greedy(observation: jax.Array, key: jax.Array) -> jax.Array:
        return network.apply(params, observation)

    found = {}
    for pool in ("train", "validation", "test"):
        keys = jax.random.split(rng.named(data.key, pool), EPISODES)
        returns = rollout.episode_returns(CARTPOLE, data.parameters[4], greedy, keys)
        loss, score = measure(params, pool, task)
        assert float(score) == pytest.approx(float(returns.mean()) / 500)
        assert float(loss) == pytest.approx(1 - float(score))
        found[pool] = float(score)
    assert len(set(found.values())) == 3


def test_inputs_lie_all_over_the_region_in_which_episodes_live_and_close_to_rest(
    family: ControlFamily,
) -> None:
    inputs = family.device_data.inputs(jnp.int32(0), jax.random.key(0), 2000)
    assert inputs.shape == (2000, 4)
    assert np.abs(inputs).max() <= 1 and (np.abs(inputs).max(0) > 0.9).all()
    largest = np.abs(inputs).max(1)
    assert 0.3 < (largest < 0.1).mean() < 0.7  # about half, on the logarithmic scale
    assert largest.min() < 0.02


def test_dynamics_tell_similar_tasks_from_others(family: ControlFamily) -> None:
    """Of two tasks the one whose actuator is reversed is the stranger one."""
    p = jnp.array([CARTPOLE.default] * 3)
    p = p.at[1, 4].multiply(0.8).at[2, 4].multiply(-1)
    data = dataclasses.replace(family.device_data, parameters=p)
    moved = np.asarray(data.dynamics(jax.random.key(0)))
    near, far = (np.mean((moved[i] - moved[0]) ** 2) for i in (1, 2))
    assert 0 < 20 * near < far


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "env:pendulum"}, "environment='pendulum' is unknown"),
        ({"train_subsets": 0}, "has infinitely many settings, so say how many"),
        ({"held_out_subsets": -1}, "held_out_subsets not negative"),
        ({"held_out_classes": 2}, "held_out_classes=2 is about images"),
        ({"settings": "default"}, "data.settings='default' is one task"),
        ({"settings": "usual"}, "data.settings='usual' is unknown"),
        ({"network": {"name": "mlp"}}, "network.name='mlp' does not act"),
        ({"network": {"name": "categorical_policy", "choices": 1}}, "two choices or more"),
    ],
)
def test_impossible_tasks_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        families.build(config(**changes))


def test_policies_do_not_classify() -> None:
    with pytest.raises(UserError, match=r"'gaussian_policy' does not classify images: .*mlp"):
        families.build(config(source="digits"))


def test_a_categorical_policy_has_as_many_outputs_as_choices() -> None:
    found = families.build(config(network={"name": "categorical_policy", "choices": 4}))
    assert (found.network.n_outputs, found.network.example_size) == (4, 9)
    assert set(networks.POLICIES) == {"gaussian_policy", "categorical_policy"}
    assert control.environment(config(source="digits")) is None


def test_one_task_may_be_the_environment_as_it_is_usually_set() -> None:
    found = families.build(config(settings="default", train_subsets=1, held_out_subsets=0))
    assert [s.parameters for s in found.subsets] == [CARTPOLE.default]
