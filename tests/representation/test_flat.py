"""The flat codec's order is PyTorch's: of layers, of a layer's tensors, and within a tensor."""

from __future__ import annotations

import numpy as np
import pytest

from mole_jax.representation import flat
from mole_jax.tasks import networks
from mole_jax.tasks.networks import torch_layout
from mole_jax.tasks.networks.torch_layout import layout

MLP = {"name": "mlp", "activation": "relu", "hidden": (3, 2)}
CNN = {"name": "cnn", "channels": (16, 32), "strides": (2, 1), "bias": False, "norm_groups": 0}
POLICY = {"name": "gaussian_policy", "activation": "selu", "hidden": (32, 32)}


@pytest.mark.parametrize(
    ("config", "inputs", "outputs", "sizes"),
    [
        ({**MLP, "hidden": (10,)}, (28, 28, 1), 10, (7840, 10, 100, 10)),
        (CNN, (32, 32, 3), 10, (432, 4608, 320, 10)),
        (POLICY, (4,), 1, (1, 128, 32, 1024, 32, 32, 1)),
        ({**MLP, "hidden": (2,) * 11}, (2,), 2, (4, 2) * 12),  # hidden_10 comes after hidden_2
    ],
)
def test_the_layouts_of_gpts_networks(
    config: dict, inputs: tuple[int, ...], outputs: int, sizes: tuple[int, ...]
) -> None:
    network = networks.build(config, inputs, outputs)
    assert flat.sizes(network) == sizes
    paths = [field.path for field in torch_layout.fields(network)]
    assert paths[-2:] == ["output/kernel", "output/bias"]
    if config["name"] == "mlp":
        n = len(config["hidden"])
        assert paths[:-2:2] == [f"hidden_{i}/kernel" for i in range(n)]


def test_linear_weights_are_transposed_and_convolutions_lead_with_their_outputs() -> None:
    network = networks.build(CNN, (5, 5, 3), 4)
    x = np.random.default_rng(0).normal(size=network.spec.size).astype(np.float32)
    params = network.spec.unflatten(x)
    found = np.asarray(flat.build(network).encode(x))[0]
    first, second = params["conv_0"]["kernel"], params["conv_1"]["kernel"]  # HWIO
    np.testing.assert_array_equal(found[:432].reshape(16, 3, 3, 3), first.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(found[432:5040].reshape(32, 16, 3, 3)[7, 5], second[:, :, 5, 7])
    np.testing.assert_array_equal(found[5040:5168].reshape(4, 32), params["output"]["kernel"].T)


@pytest.mark.parametrize("config", [MLP, {**CNN, "bias": True, "norm_groups": 4}, POLICY])
def test_it_is_the_state_dict_one_tensor_after_another(config: dict) -> None:
    network = networks.build(config, (5, 5, 3), 4)
    x = np.random.default_rng(0).normal(size=network.spec.size).astype(np.float32)
    tensors = layout(network).state_dict(x)
    assert [t.size for t in tensors.values()] == list(flat.sizes(network))
    expected = np.concatenate([t.ravel() for t in tensors.values()])
    np.testing.assert_array_equal(np.asarray(flat.build(network).encode(x))[0], expected)
