"""Policies compute what their parameters say, and their distributions are those they claim."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.representation import neuron, permutation
from mole_jax.tasks import networks
from mole_jax.tasks.networks import POLICIES, Network, policy

CONFIG = {"hidden": (7, 3), "activation": "selu"}
OBSERVATION = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def make(name: str, n_outputs: int = 2, **changes: Any) -> Network:
    return networks.build({"name": name, **CONFIG, **changes}, (4,), n_outputs)


def some(network: Network) -> np.ndarray:
    """Parameters none of which is zero."""
    return np.asarray(0.5 * jax.random.normal(jax.random.key(1), (network.spec.size,)))


def test_the_cartpole_policy_of_the_reference() -> None:
    network = make("gaussian_policy", 1, hidden=(32, 32))
    assert network.spec.size == 1250
    assert [(f.path, f.shape) for f in network.spec.fields] == [
        ("log_std", (1,)),
        ("hidden_0/bias", (32,)),
        ("hidden_0/kernel", (4, 32)),
        ("hidden_1/bias", (32,)),
        ("hidden_1/kernel", (32, 32)),
        ("output/bias", (1,)),
        ("output/kernel", (32, 1)),
    ]


@pytest.mark.parametrize("name", POLICIES)
def test_apply_is_the_written_out_function(name: str) -> None:
    network = make(name)
    p: Any = network.spec.unflatten(some(network))

    def selu(x: np.ndarray) -> np.ndarray:
        return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))

    h = selu(OBSERVATION @ p["hidden_0"]["kernel"] + p["hidden_0"]["bias"][None])
    h = selu(h @ p["hidden_1"]["kernel"] + p["hidden_1"]["bias"][None])
    y = h @ p["output"]["kernel"] + p["output"]["bias"][None]
    np.testing.assert_allclose(network.apply(p, OBSERVATION), y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(policy.act_greedily(network, p, OBSERVATION), (
        y if name == "gaussian_policy" else y.argmax(-1)), rtol=1e-4, atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("name", POLICIES)
def test_the_start_is_pytorchs(name: str) -> None:
    """Kernels and biases uniform within +- 1 / sqrt(fan-in)."""
    network = make(name, 300, hidden=(200, 100))
    params = network.init(jax.random.key(0))
    for layer, fan_in in (("hidden_0", 4), ("hidden_1", 200), ("output", 100)):
        for tensor in params[layer].values():
            bound = fan_in**-0.5
            assert np.abs(tensor).max() == pytest.approx(bound, rel=0.05)
            assert np.abs(tensor).max() <= bound
            assert tensor.std() == pytest.approx(bound / np.sqrt(3), rel=0.15)
            assert abs(tensor.mean()) < 0.15 * bound
    assert ("log_std" in params) == (name == "gaussian_policy")


def test_the_standard_deviation_is_exp_log_std_squared() -> None:
    network = make("gaussian_policy", 2)
    params = network.init(jax.random.key(0))
    params["log_std"] = jnp.array([0.3, -0.4])
    drawn = np.asarray(policy.sample(network, params, jnp.zeros((20000, 4)), jax.random.key(2)))
    mean = np.asarray(network.apply(params, jnp.zeros((1, 4))))
    np.testing.assert_allclose(drawn.std(0), np.exp([0.6, -0.8]), rtol=0.03)
    np.testing.assert_allclose(drawn.mean(0), mean[0], atol=0.03)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.03
    start = network.init(jax.random.key(3))["log_std"]
    assert ((np.exp(2 * start) > 0.5) & (np.exp(2 * start) < 1)).all()


def test_the_gaussian_density_is_written_out() -> None:
    network = make("gaussian_policy", 2)
    p: Any = network.spec.unflatten(some(network))
    action = np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32)
    mean = np.asarray(network.apply(p, OBSERVATION))
    std = np.exp(2 * p["log_std"])[None]
    logs = -0.5 * ((action - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    found = policy.log_probability(network, p, OBSERVATION, action)
    np.testing.assert_allclose(found, logs.sum(-1), rtol=1e-4, atol=1e-5)


def test_categorical_probabilities_are_frequencies() -> None:
    network = make("categorical_policy", 3)
    p: Any = network.spec.unflatten(some(network))
    one = jnp.broadcast_to(OBSERVATION[0], (20000, 4))
    drawn = np.asarray(policy.sample(network, p, one, jax.random.key(2)))
    assert drawn.dtype == np.int32 and drawn.shape == (20000,)
    choices = np.arange(3)
    logs = policy.log_probability(network, p, one[:3], choices)
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), np.exp(logs), atol=0.02)
    np.testing.assert_array_equal(
        policy.controls(network, choices), np.array([[-1.0], [0.0], [1.0]])
    )


@pytest.mark.parametrize("name", POLICIES)
def test_entropy_is_the_mean_of_minus_the_log_probability(name: str) -> None:
    network = make(name)
    p: Any = network.spec.unflatten(some(network))
    many = jnp.broadcast_to(OBSERVATION[0], (20000, 4))
    drawn = policy.sample(network, p, many, jax.random.key(2))
    mean = -np.asarray(policy.log_probability(network, p, many, drawn)).mean()
    assert mean == pytest.approx(float(policy.entropy(network, p, many[0])), abs=0.03)


@pytest.mark.parametrize("name", POLICIES)
def test_one_observation_is_a_batch_of_one(name: str) -> None:
    network = make(name)
    p: Any = network.spec.unflatten(some(network))
    action = policy.sample(network, p, OBSERVATION, jax.random.key(0))
    logs = policy.log_probability(network, p, OBSERVATION, action)
    for i in range(2):
        alone = policy.log_probability(network, p, OBSERVATION[i], action[i])
        assert float(alone) == pytest.approx(float(logs[i]), rel=1e-4, abs=1e-5)
        controls = policy.controls(network, action[i])
        assert controls.shape == ((2,) if name == "gaussian_policy" else (1,))


@pytest.mark.parametrize("name", POLICIES)
def test_permuting_hidden_units_changes_nothing(name: str) -> None:
    network = make(name)
    flat = some(network)
    orders = permutation.random_orders(network, jax.random.key(5))
    assert [s.axis for s in network.permutations] == ["hidden_0", "hidden_1"]
    assert network.rotations == ()
    other = permutation.permute(network, flat, orders)
    assert np.abs(np.asarray(other) - flat).max() > 0.1
    a, b = network.spec.unflatten(jnp.asarray(flat)), network.spec.unflatten(jnp.asarray(other))
    action = policy.sample(network, a, OBSERVATION, jax.random.key(0))
    for function in (policy.log_probability,):
        np.testing.assert_allclose(
            function(network, a, OBSERVATION, action),
            function(network, b, OBSERVATION, action),
            rtol=1e-4,
            atol=1e-5,
        )
    np.testing.assert_allclose(
        network.apply(a, OBSERVATION), network.apply(b, OBSERVATION), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", POLICIES)
def test_neuron_tokens_hold_the_units_and_then_what_is_left(name: str) -> None:
    network = make(name)
    flat = some(network)
    codec = neuron.build(network)
    tokens = codec.encode(flat)
    np.testing.assert_array_equal(codec.decode(tokens), flat)
    left = ["log_std", "output/bias"] if name == "gaussian_policy" else ["output/bias"]
    assert codec.n_tokens == 7 + 3 + len(left)
    for row, path in zip(np.asarray(tokens)[10:], left, strict=True):
        np.testing.assert_array_equal(row[:2], flat[network.spec[path].slice])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": ()}, "network.hidden"),
        ({"hidden": (8, 0)}, "network.hidden"),
        ({"activation": "swoosh"}, "network.activation='swoosh' is unknown; there are"),
        ({"name": "categorical_policy", "n_outputs": 1}, "two choices or more"),
    ],
)
def test_impossible_policies_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(**{"name": "gaussian_policy", **changes})


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_built_again_from_what_is_stored(name: str) -> None:
    network = make(name)
    stored = networks.to_json({"name": name, **CONFIG}, network)
    assert networks.from_json(stored).spec == network.spec
