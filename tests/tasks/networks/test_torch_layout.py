"""PyTorch's layouts: the same function, computed the way PyTorch does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network, cnn, mlp, policy, shorthand
from mole_jax.tasks.networks.torch_layout import layout
from tests import torch_modules

State = Mapping[str, np.ndarray]


def linear(state: State, module: str, x: np.ndarray) -> np.ndarray:
    return x @ state[f"{module}.weight"].T + state[f"{module}.bias"]


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def selu(x: np.ndarray) -> np.ndarray:
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def conv(state: State, module: str, x: np.ndarray, stride: int) -> np.ndarray:  # [B, C, H, W]
    weight = state[f"{module}.weight"]  # OIHW
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    height, width = x.shape[2:]
    y = sum(
        np.einsum("oc,bchw->bohw", weight[:, :, i, j],
                  padded[:, :, i : i + height : stride, j : j + width : stride])
        for i, j in itertools.product(range(3), repeat=2)
    )  # fmt: skip
    bias = state.get(f"{module}.bias")
    return np.asarray(y if bias is None else y + bias[:, None, None])


def group_norm(state: State, module: str, x: np.ndarray, groups: int) -> np.ndarray:
    parts = x.reshape(len(x), groups, -1)
    parts = parts - parts.mean(-1, keepdims=True)
    parts = parts / np.sqrt((parts**2).mean(-1, keepdims=True) + 1e-6)
    scale, bias = state[f"{module}.weight"], state[f"{module}.bias"]
    return parts.reshape(x.shape) * scale[:, None, None] + bias[:, None, None]


def of_mlp(state: State, x: np.ndarray) -> np.ndarray:
    layers = sum(name.endswith("weight") for name in state)
    for i in range(1, layers):
        x = relu(linear(state, f"fc{i}", x))
    return linear(state, f"fc{layers}", x)


def of_policy(state: State, x: np.ndarray) -> np.ndarray:
    return linear(
        state, "actor.4", selu(linear(state, "actor.2", selu(linear(state, "actor.0", x))))
    )


def of_cnn(state: State, x: np.ndarray) -> np.ndarray:
    images = np.moveaxis(x.reshape(-1, 8, 8, 3), -1, 1)
    hidden = relu(conv(state, "conv1", images, 2))
    hidden = relu(conv(state, "conv2", hidden, 1))
    return linear(state, "fc", hidden.mean((2, 3)))


def of_cnn_with_all(state: State, x: np.ndarray) -> np.ndarray:
    images = np.moveaxis(x.reshape(-1, 8, 8, 3), -1, 1)
    hidden = relu(group_norm(state, "norm1", conv(state, "conv1", images, 1), 2))
    hidden = relu(group_norm(state, "norm2", conv(state, "conv2", hidden, 2), 2))
    return linear(state, "fc", hidden.mean((2, 3)))


def of_cnn_with_cells(state: State, x: np.ndarray) -> np.ndarray:
    images = np.moveaxis(x.reshape(-1, 8, 8, 1), -1, 1)
    hidden = relu(conv(state, "conv1", images, 1))  # [B, C, 8, 8]
    cells = hidden.reshape(*hidden.shape[:2], 4, 2, 4, 2).mean((3, 5))
    return linear(state, "fc", cells.reshape(len(x), -1))


CASES: dict[str, tuple[Network, Callable[[State, np.ndarray], np.ndarray], list[str]]] = {
    "mlp": (
        shorthand.parse("mlp:64,8,5").network,
        of_mlp,
        ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"],
    ),
    "deep": (
        mlp.build(mlp.MLPConfig((7, 6, 5)), (4, 4, 1), 3),
        of_mlp,
        [f"fc{i}.{leaf}" for i in (1, 2, 3, 4) for leaf in ("weight", "bias")],
    ),
    "cnn": (
        shorthand.parse("cnn:3,4,6,5", image_side=8).network,
        of_cnn,
        ["conv1.weight", "conv2.weight", "fc.weight", "fc.bias"],
    ),
    "cnn with bias and norm": (
        cnn.build(cnn.CNNConfig((4, 6), norm_groups=2), (8, 8, 3), 5),
        of_cnn_with_all,
        [
            *(f"{m}{i}.{leaf}" for i in (1, 2) for m in ("conv", "norm")
              for leaf in ("weight", "bias")),
            "fc.weight",
            "fc.bias",
        ],
    ),
    "cnn with cells": (
        cnn.build(cnn.CNNConfig((3,), (1,), cells=4), (8, 8, 1), 5),
        of_cnn_with_cells,
        ["conv1.weight", "conv1.bias", "fc.weight", "fc.bias"],
    ),
    "policy": (
        shorthand.parse("policy:4,6,5,2").network,
        of_policy,
        ["log_std", *(f"actor.{i}.{leaf}" for i in (0, 2, 4) for leaf in ("weight", "bias"))],
    ),
    "categorical policy": (
        policy.build(policy.CategoricalPolicyConfig((6, 5), "selu"), (4,), 3),
        of_policy,
        [f"actor.{i}.{leaf}" for i in (0, 2, 4) for leaf in ("weight", "bias")],
    ),
}  # fmt: skip


def drawn(network: Network, *batch: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.5, (*batch, network.spec.size)).astype("f4")


@pytest.mark.parametrize("case", CASES)
def test_the_state_dict_computes_the_same(case: str) -> None:
    network, apply, names = CASES[case]
    flat = drawn(network)
    state = layout(network).state_dict(flat)
    assert list(state) == names
    x = np.random.default_rng(1).normal(size=(7, network.n_inputs)).astype("f4")
    expected = network.apply(network.spec.unflatten(flat), x)
    np.testing.assert_allclose(apply(state, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_there_and_back_are_the_same_bits(case: str) -> None:
    network = CASES[case][0]
    torch = layout(network)
    flat = drawn(network, 2, 3)
    np.testing.assert_array_equal(torch.from_torch(torch.to_torch(flat)), flat)
    state = torch.state_dict(flat)
    np.testing.assert_array_equal(torch.from_state_dict(state, "here"), flat)
    joined = np.concatenate([tensor.reshape(2, 3, -1) for tensor in state.values()], -1)
    np.testing.assert_array_equal(torch.to_torch(flat), joined)
    assert torch.sizes == [tensor[0, 0].size for tensor in state.values()]


@pytest.mark.parametrize(
    ("text", "sizes", "total"),
    [
        ("mlp:784,10,10", [7840, 10, 100, 10], 7960),
        ("cnn:3,16,32,10", [432, 4608, 320, 10], 5370),
        ("policy:4,32,32,1", [1, 128, 32, 1024, 32, 32, 1], 1250),
    ],
)
def test_the_networks_of_the_paper(text: str, sizes: list[int], total: int) -> None:
    described = shorthand.parse(text)
    assert layout(described.network).sizes == sizes
    assert described.network.spec.size == total
    assert networks.from_json(described.to_json()).spec == described.network.spec


@pytest.mark.parametrize(
    ("case", "text"),
    [("mlp", "mlp:64,8,5"), ("cnn", "cnn:3,4,6,5"), ("policy", "policy:4,6,5,2")],
)
def test_a_torch_module_computes_the_same(case: str, text: str) -> None:
    network = CASES[case][0]
    module = torch_modules.build(text)
    flat = drawn(network)
    state = layout(network).state_dict(flat)
    assert list(module.state_dict()) == list(state)
    torch = pytest.importorskip("torch")
    module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    x = np.random.default_rng(1).normal(size=(7, network.n_inputs)).astype("f4")
    expected = network.apply(network.spec.unflatten(flat), x)
    found = torch_modules.outputs(module, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fc2.bias": None}, "lacks the tensor 'fc2.bias'"),
        ({"fc3.bias": np.zeros(2)}, "has the tensor 'fc3.bias'"),
        ({"fc1.weight": np.zeros((64, 8))}, r"fc1.weight has shape \[64, 8\].* needs \[8, 64\]"),
    ],
)
def test_another_state_dict_is_refused(change: dict[str, Any], words: str) -> None:
    network = CASES["mlp"][0]
    state = layout(network).state_dict(drawn(network)) | change
    with pytest.raises(UserError, match=words):
        layout(network).from_state_dict({k: v for k, v in state.items() if v is not None}, "here")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mlp", "three sizes"),
        ("mlp:4,x,2", "three sizes"),
        ("mlp:4,2", "three sizes"),
        ("mlp:4,-1,2", "three sizes"),
        ("cnn:3,0,2", "below 1"),
        ("resnet:18", "not one that MOLE has"),
        ("", "not one that MOLE has"),
    ],
)
def test_a_shorthand_that_says_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        shorthand.parse(text)
