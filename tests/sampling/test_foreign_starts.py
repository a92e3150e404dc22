"""Starts from outside, for a model whose training runs were brought into one basis."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mole_jax
from mole_jax.representation import permutation
from tests import tiny, untrained
from tests.sampling.conftest import predict
from tests.sampling.conftest import untrained as far_from_targets

KEY = jax.random.key(0)
pytestmark = far_from_targets


@pytest.mark.parametrize("align", [True, False])
def test_the_order_of_their_units_means_nothing(
    align: bool, tmp_path: Path, support: tuple[np.ndarray, np.ndarray]
) -> None:
    config = tiny.tiny_config(representation__align=align)
    network = untrained.write(tmp_path, config, (8, 8, 1), 3)
    model = mole_jax.load(tmp_path)
    flat = np.asarray(network.spec.flatten(network.init(KEY)))
    other = np.asarray(
        permutation.permute(network, jnp.asarray(flat), permutation.random_orders(network, KEY))
    )
    mean = jax.random.normal(KEY, flat.shape)
    normaliser = model.fitted.normaliser._replace(mean=mean)
    model = dataclasses.replace(model, fitted=model.fitted._replace(normaliser=normaliser))
    kernels = [
        predict(model, support, start=network.spec.unflatten(x), n=1).params["hidden_0"]["kernel"]
        for x in (flat, other)
    ]
    assert np.abs(flat - other).max() > 0.1
    assert np.allclose(*kernels, atol=1e-5) == align
