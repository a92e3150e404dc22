"""A ViT cuts patches, attends over them, and does not care in what batches images come."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network

CONFIG = {
    "name": "vit",
    "patch": 2,
    "width": 6,
    "layers": 1,
    "heads": 2,
    "mlp": 5,
    "pooling": "mean",
}
SHAPE = (4, 6, 2)


def build(**changes: Any) -> Network:
    return networks.build({**CONFIG, **changes}, SHAPE, 3)


def norm(x: jax.Array, p: Any) -> jax.Array:
    y = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return y * p["scale"] + p["bias"]


@pytest.mark.parametrize("pooling", ["mean", "token"])
def test_apply_is_the_written_out_function(pooling: str) -> None:
    network = build(pooling=pooling)
    flat = jax.random.normal(jax.random.key(1), (network.spec.size,)) * 0.5
    p: Any = jax.tree.map(np.asarray, network.spec.unflatten(flat))
    image = np.asarray(jax.random.normal(jax.random.key(2), SHAPE))

    with jax.numpy_rank_promotion("allow"):
        patches = [
            image[i : i + 2, j : j + 2].reshape(-1) for i in range(0, 4, 2) for j in range(0, 6, 2)
        ]
        x = np.stack(patches) @ p["embed"]["kernel"] + p["embed"]["bias"]
        if pooling == "token":
            x = np.concatenate([p["class_token"][None], x])
        x = x + p["positions"]
        a = p["block_0_attention"]
        h = norm(x, p["block_0_norm_attention"])
        q, k, v = (
            jnp.einsum("nw,whd->hnd", h, a[name]["kernel"]) + a[name]["bias"][:, None]
            for name in ("query", "key", "value")
        )
        weights = jax.nn.softmax(jnp.einsum("hnd,hmd->hnm", q, k) / jnp.sqrt(3.0), axis=-1)
        mixed = jnp.einsum("hnm,hmd->nhd", weights, v)
        x = x + jnp.einsum("nhd,hdw->nw", mixed, a["out"]["kernel"]) + a["out"]["bias"]
        h = norm(x, p["block_0_norm_mlp"]) @ p["block_0_mlp_in"]["kernel"]
        h = jax.nn.gelu(h + p["block_0_mlp_in"]["bias"])
        x = x + h @ p["block_0_mlp_out"]["kernel"] + p["block_0_mlp_out"]["bias"]
        x = norm(x, p["norm"])
        pooled = x[0] if pooling == "token" else x.mean(0)
        expected = pooled @ p["output"]["kernel"] + p["output"]["bias"]
    logits = network.apply(network.spec.unflatten(flat), image.reshape(-1))
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def test_any_number_of_batch_axes_will_do() -> None:
    network = build()
    params = network.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(2), (2, 5, network.n_inputs))
    whole = network.apply(params, x)
    assert whole.shape == (2, 5, 3)
    np.testing.assert_allclose(whole[1, 3], network.apply(params, x[1, 3]), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 3}, "network.patch=3 must divide both sides"),
        ({"heads": 4}, "network.width=6 must be a multiple of network.heads=4"),
        ({"layers": 0}, "network.layers=0 must be 1 or more"),
        ({"pooling": "max"}, "network.pooling='max' is unknown"),
    ],
)
def test_impossible_networks_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**changes)
