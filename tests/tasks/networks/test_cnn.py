"""A CNN computes ordinary convolutions, and G.pt's CIFAR-10 network is one setting of it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import networks
from mole_jax.tasks.networks import cnn

CONFIG = {"name": "cnn", "channels": (4, 6), "strides": (2, 1), "bias": True, "norm_groups": 0}
SHAPE = (7, 6, 2)


def test_the_network_of_gpt_is_a_setting() -> None:
    config = {**CONFIG, "channels": (16, 32), "bias": False}
    network = networks.build(config, (32, 32, 3), 10)
    assert network.spec.size == 5370
    assert {f.path: f.shape for f in network.spec.fields} == {
        "conv_0/kernel": (3, 3, 3, 16),
        "conv_1/kernel": (3, 3, 16, 32),
        "output/kernel": (32, 10),
        "output/bias": (10,),
    }


@pytest.mark.parametrize("groups", [0, 2])
@pytest.mark.parametrize("shape", [SHAPE, (8, 8, 1)])
def test_apply_is_made_of_ordinary_convolutions(groups: int, shape: tuple[int, int, int]) -> None:
    network = networks.build({**CONFIG, "norm_groups": groups}, shape, 3)
    flat = jax.random.normal(jax.random.key(1), (network.spec.size,))
    p: Any = network.spec.unflatten(flat)
    x = jax.random.normal(jax.random.key(2), (5, network.n_inputs))

    h = x.reshape(5, *shape)
    for i, stride in enumerate(CONFIG["strides"]):
        h = jax.lax.conv_general_dilated(
            h,
            p[f"conv_{i}"]["kernel"],
            (stride, stride),
            ((1, 1), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        h = h + p[f"conv_{i}"]["bias"][None, None, None]
        if groups:
            grouped = h.reshape(*h.shape[:3], groups, -1)
            mean = grouped.mean((1, 2, 4), keepdims=True)
            deviation = jnp.sqrt(grouped.var((1, 2, 4), keepdims=True) + 1e-6)
            h = ((grouped - mean) / deviation).reshape(h.shape)
            norm = p[f"norm_{i}"]
            h = h * norm["scale"][None, None, None] + norm["bias"][None, None, None]
        h = jnp.maximum(h, 0)
    expected = h.mean((1, 2)) @ p["output"]["kernel"] + p["output"]["bias"][None]
    np.testing.assert_allclose(network.apply(p, x), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("sides", "n"),
    [
        ((8, 8), 4),
        ((7, 5), 3),
        ((2, 9), 4),
        ((28, 28), 7),  # from here on rows are added first, where cells do not overlap
        ((14, 19), 7),
        ((19, 14), 7),
        ((64, 64), 2),
    ],
)
def test_cells_are_those_of_pytorch(sides: tuple[int, int], n: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, *sides)).astype(np.float32)
    expected = np.empty((2, n, n, 3))
    for i, j in itertools.product(range(n), repeat=2):  # as PyTorch documents AdaptiveAvgPool2d
        rows, columns = (
            slice(at * side // n, math.ceil((at + 1) * side / n))
            for at, side in zip((i, j), sides, strict=True)
        )
        expected[:, i, j] = x[:, :, rows, columns].mean((2, 3)).T
    np.testing.assert_allclose(cnn.of_cells(jnp.asarray(x), n), expected, atol=1e-6)


def test_a_network_with_cells_knows_where_something_is() -> None:
    image = np.zeros((8, 8, 1), np.float32)
    image[2, 2] = 1
    moved = np.roll(image, 3, axis=(0, 1))  # what sees it does not reach the border
    for cells, alike in ((1, True), (2, False)):
        network = networks.build({**CONFIG, "strides": (1, 1), "cells": cells}, (8, 8, 1), 3)
        params = network.init(jax.random.key(0))
        here, there = network.apply(params, np.stack([image, moved]).reshape(2, -1))
        assert np.allclose(here, there, atol=1e-5) == alike


def test_descriptions_from_before_there_were_cells_are_read() -> None:
    for cells in (1, 2):
        section = {**CONFIG, "cells": cells}
        network = networks.build(section, (8, 8, 1), 3)
        stored = networks.to_json(section, network)
        assert ("cells" in stored) == (cells > 1)
        assert networks.from_json(stored).spec == network.spec


def test_any_number_of_batch_axes_will_do() -> None:
    network = networks.build({**CONFIG, "norm_groups": 2}, SHAPE, 3)
    params = network.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(2), (2, 5, network.n_inputs))
    whole = network.apply(params, x)
    assert whole.shape == (2, 5, 3)
    np.testing.assert_allclose(whole[1, 3], network.apply(params, x[1, 3]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ()}, "network.channels"),
        ({"channels": (4, 0)}, "network.channels"),
        ({"strides": (1,)}, "network.strides"),
        ({"strides": (1, 0)}, "network.strides"),
        ({"norm_groups": 4}, "network.norm_groups=4 must divide"),
        ({"norm_groups": -1}, "network.norm_groups=-1"),
        ({"cells": 0}, "network.cells=0 must be 1 or more"),
    ],
)
def test_impossible_networks_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        networks.build({**CONFIG, **changes}, SHAPE, 2)


def test_flat_inputs_are_refused() -> None:
    with pytest.raises(UserError, match="needs images"):
        networks.build(CONFIG, (12,), 2)
