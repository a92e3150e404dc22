"""Small MLPs of one to three hidden layers."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network

HIDDEN = [(6,), (6, 4), (5, 3, 4)]
NETWORKS = {
    h: networks.build({"name": "mlp", "hidden": h, "activation": "relu"}, 7, 3) for h in HIDDEN
}


@pytest.fixture(params=HIDDEN, ids=lambda hidden: "-".join(map(str, hidden)))
def network(request: pytest.FixtureRequest) -> Network:
    return NETWORKS[request.param]


@pytest.fixture
def flat(network: Network) -> np.ndarray:
    """Three networks [3, D], all of whose parameters differ."""
    return np.array(jax.random.normal(jax.random.key(0), (3, network.spec.size)))
