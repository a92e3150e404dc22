"""What outputs mean: a network is no distance from itself, errors are least at their targets."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.tasks import networks, outputs
from mole_jax.tasks.networks import Network

N = 30


def build(name: str) -> Network:
    config = {"name": name, "hidden": (5,), "activation": "tanh"}
    return networks.build(config, (4,), 3)


@pytest.mark.parametrize("name", ["mlp", *networks.POLICIES])
def test_divergence_is_zero_for_the_same_function_alone(name: str) -> None:
    network = build(name)
    one, other = (network.init(jax.random.key(seed)) for seed in (0, 1))
    inputs = jax.random.normal(jax.random.key(2), (N, 4))
    apart = outputs.divergence(network, one, other, inputs)
    assert apart.shape == (N,)
    assert (np.asarray(apart) > 0).all()
    np.testing.assert_allclose(outputs.divergence(network, one, one, inputs), 0, atol=1e-6)


@pytest.mark.parametrize("name", ["mlp", "categorical_policy"])
def test_divergence_of_probabilities_is_kullback_leibler(name: str) -> None:
    network = build(name)
    one, other = (network.init(jax.random.key(seed)) for seed in (0, 1))
    inputs = jax.random.normal(jax.random.key(2), (N, 4))
    p, q = (np.asarray(jax.nn.softmax(network.apply(x, inputs)), float) for x in (one, other))
    expected = (p * np.log(p / q)).sum(-1)
    np.testing.assert_allclose(
        outputs.divergence(network, one, other, inputs), expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", ["mlp", *networks.POLICIES])
def test_following_the_error_leads_to_the_target(name: str) -> None:
    network = build(name)
    targets = 0.5 * jax.random.normal(jax.random.key(3), (N, 3))
    if name == "mlp":
        targets = jnp.argmax(targets, axis=-1)

    def total(found: jax.Array) -> jax.Array:
        return jnp.sum(outputs.error(network, found, targets))

    found = jnp.zeros((N, 3))
    assert outputs.error(network, found, targets).shape == (N,)
    for _ in range(300):
        found = found - 0.3 * jax.grad(total)(found)
    if name == "gaussian_policy":
        np.testing.assert_allclose(jnp.arcsinh(found), targets, atol=1e-2)
    else:
        wanted = targets if name == "mlp" else jnp.argmax(targets, axis=-1)
        np.testing.assert_array_equal(jnp.argmax(found, axis=-1), wanted)
