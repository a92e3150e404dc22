"""Bytes are counted where they are."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.devices import memory
from mole_jax.core.devices import mesh as meshes


def test_bytes_on_each_device() -> None:
    mesh = meshes.make_mesh({"fsdp": 4})
    x = jnp.zeros((16, 3), jnp.bfloat16)
    tree = {
        "copied": jax.device_put(x, meshes.replicated(mesh)),
        "split": jax.device_put(x, meshes.along(mesh, meshes.BATCH)),
        "planned": jax.ShapeDtypeStruct((8,), jnp.float32, sharding=meshes.along(mesh, "fsdp")),
        "host": np.zeros(5, np.uint8),
        "key": jax.random.key(0),
    }
    each = {name: memory.on_each(leaf) for name, leaf in tree.items()}
    assert each == {"copied": 96, "split": 12, "planned": 8, "host": 5, "key": 8}
    assert memory.on_each(tree) == sum(each.values())


def test_devices_of_a_cpu_share_its_memory() -> None:
    available = memory.available(jax.devices()[0])
    assert available is not None
    assert 2**20 < available < 2**40


class Fake:
    platform = "gpu"

    def __init__(self, stats: dict[str, int] | None) -> None:
        self.memory_stats = lambda: stats


@pytest.mark.parametrize(("stats", "found"), [({"bytes_limit": 80}, 80), ({}, None), (None, None)])
def test_accelerators_tell_their_own(stats: dict[str, int] | None, found: int | None) -> None:
    assert memory.available(Fake(stats)) == found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1024, "1.0 KiB"),
        (1.5 * 2**30, "1.5 GiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_for_people(n: float, text: str) -> None:
    assert memory.written(n) == text
