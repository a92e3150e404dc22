"""Small networks of every kind; MLPs of one to three hidden layers."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network

MLP = {"name": "mlp", "activation": "relu"}
MLPS = {
    f"mlp {hidden}": networks.build({**MLP, "hidden": hidden}, (7,), 3)
    for hidden in [(6,), (6, 4), (5, 3, 4)]
}
CNN = {"name": "cnn", "channels": (4, 6), "strides": (1, 2), "bias": True, "norm_groups": 0}
VIT = {"name": "vit", "patch": 2, "width": 6, "layers": 2, "heads": 2, "mlp": 5, "pooling": "mean"}
NETWORKS = {
    **MLPS,
    "cnn": networks.build(CNN, (4, 4, 2), 3),
    "cnn without bias": networks.build({**CNN, "bias": False}, (5, 4, 1), 3),
    "cnn with GroupNorm": networks.build({**CNN, "norm_groups": 2}, (4, 4, 1), 3),
    "vit": networks.build(VIT, (4, 4, 1), 3),
    "vit with class token": networks.build(
        {**VIT, "layers": 1, "heads": 3, "pooling": "token"}, (4, 4, 1), 3
    ),
    **{
        name: networks.build({"name": name, "activation": "selu", "hidden": (5, 4)}, (4,), 3)
        for name in networks.POLICIES
    },
}
FRAME = {"hidden": (5, 4), "widths": (2, 4), "depths": (1, 2)}
NETWORKS |= {
    "mlps": networks.build({"name": "mlps", **FRAME}, (7,), 3),
    "several": networks.build(
        {**VIT, **CNN, **FRAME, "name": "several", "layers": 1}, (4, 4, 1), 3
    ),
}
# Any other network is here with its default keys.
_KNOWN = {network.name for network in NETWORKS.values()}
NETWORKS |= {
    name: networks.build({"name": name}, (4, 4, 1), 3) for name in {*networks.NAMES} - _KNOWN
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Network:
    """Every registered network."""
    return NETWORKS[request.param]


@pytest.fixture(params=MLPS)
def mlp(request: pytest.FixtureRequest) -> Network:
    return MLPS[request.param]


@pytest.fixture
def flat(network: Network) -> np.ndarray:
    """Three networks [3, D], all of whose parameters differ."""
    return np.array(jax.random.normal(jax.random.key(0), (3, network.spec.size)))


@pytest.fixture
def mlp_flat(mlp: Network) -> np.ndarray:
    return np.array(jax.random.normal(jax.random.key(0), (3, mlp.spec.size)))
