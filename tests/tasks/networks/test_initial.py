"""With `init="torch"` every layer starts as PyTorch's do, and stored networks keep their names."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import networks

MLP = {"name": "mlp", "hidden": (100,), "activation": "relu"}
CNN = {"name": "cnn", "channels": (32, 40), "strides": (1, 1), "bias": True, "norm_groups": 0}
POLICY = {**MLP, "name": "gaussian_policy"}


@pytest.mark.parametrize(
    ("config", "shape"),
    [(MLP, (90,)), (CNN, (4, 4, 3)), (POLICY, (90,))],
    ids=["mlp", "cnn", "policy"],
)
def test_kernels_and_biases_are_uniform_within_their_fan_in(
    config: dict[str, Any], shape: tuple[int, ...]
) -> None:
    network = networks.build({**config, "init": "torch"}, shape, 60)
    params = network.init(jax.random.key(0))
    for layer, tensors in params.items():
        if layer == "log_std":
            continue
        bound = np.prod(tensors["kernel"].shape[:-1]) ** -0.5
        for tensor in tensors.values():
            x = np.asarray(tensor)
            assert 0.9 * bound < np.abs(x).max() <= bound
            assert abs(x.std() - bound / np.sqrt(3)) < 0.2 * bound


def test_a_stored_network_names_its_start_only_where_there_is_a_choice() -> None:
    for init in ("default", "torch"):
        network = networks.build({**MLP, "init": init}, (9,), 3)
        stored = networks.to_json({**MLP, "init": init}, network)
        assert stored.get("init", "default") == init
        assert (init == "torch") == ("init" in stored)
        key = jax.random.key(1)
        again = networks.from_json(stored).init(key)
        np.testing.assert_array_equal(
            again["hidden_0"]["bias"], network.init(key)["hidden_0"]["bias"]
        )


def test_unknown_starts_are_refused() -> None:
    with pytest.raises(UserError, match=r"network\.init='xavier' is unknown"):
        networks.build({**MLP, "init": "xavier"}, (9,), 3)
