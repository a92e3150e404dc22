"""An MLP computes what its parameters say, and they are named as zoos store them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import networks

CONFIG = {"name": "mlp", "hidden": (7, 3), "activation": "tanh"}


def test_parameters_are_named_and_shaped() -> None:
    network = networks.build(CONFIG, (5,), 2)
    assert network.sizes == {"input": 5, "hidden_0": 7, "hidden_1": 3, "output": 2}
    assert {f.path: f.shape for f in network.spec.fields} == {
        "hidden_0/kernel": (5, 7),
        "hidden_0/bias": (7,),
        "hidden_1/kernel": (7, 3),
        "hidden_1/bias": (3,),
        "output/kernel": (3, 2),
        "output/bias": (2,),
    }
    params = network.init(jax.random.key(0))
    assert network.spec.flatten(params).shape == (network.spec.size,)
    assert {f.dtype for f in network.spec.fields} == {"float32"}


def test_the_start_is_he_uniform_with_zero_biases() -> None:
    network = networks.build({**CONFIG, "hidden": (200,)}, (150,), 2)
    params = network.init(jax.random.key(0))
    kernel = params["hidden_0"]["kernel"]
    bound = np.sqrt(6 / 150)
    assert float(jnp.abs(kernel).max()) == pytest.approx(bound, rel=1e-3)
    assert float(kernel.std()) == pytest.approx(bound / np.sqrt(3), rel=0.02)
    assert not params["hidden_0"]["bias"].any()
    assert not params["output"]["bias"].any()


def test_apply_is_the_written_out_function() -> None:
    network = networks.build(CONFIG, (5,), 2)
    flat = jax.random.normal(jax.random.key(1), (network.spec.size,))
    p: Any = jax.tree.map(np.asarray, network.spec.unflatten(flat))
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    h = np.tanh(x @ p["hidden_0"]["kernel"] + p["hidden_0"]["bias"][None])
    h = np.tanh(h @ p["hidden_1"]["kernel"] + p["hidden_1"]["bias"][None])
    y = h @ p["output"]["kernel"] + p["output"]["bias"][None]
    np.testing.assert_allclose(network.apply(network.spec.unflatten(flat), x), y, rtol=1e-4)


def test_activations_are_those_named() -> None:
    x = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)
    expected = {"relu": np.maximum(x, 0), "tanh": np.tanh(x), "silu": x / (1 + np.exp(-x))}
    for activation, hidden in expected.items():
        network = networks.build({**CONFIG, "hidden": (3,), "activation": activation}, (3,), 3)
        identity = {"kernel": np.eye(3, dtype=np.float32), "bias": np.zeros(3, np.float32)}
        y = jax.jit(network.apply)({"hidden_0": identity, "output": identity}, x)
        np.testing.assert_allclose(y, hidden, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnet"}, "network.name='resnet' is unknown; there are"),
        ({"hidden": ()}, "network.hidden"),
        ({"hidden": (8, 0)}, "network.hidden"),
        ({"activation": "swoosh"}, "network.activation='swoosh' is unknown; there are"),
    ],
)
def test_impossible_networks_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        networks.build({**CONFIG, **changes}, (5,), 2)
