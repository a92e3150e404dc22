"""Meshes use all devices, and shardings split what they say."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from mole_jax.core.devices import mesh as meshes
from mole_jax.core.errors import UserError


def test_tests_run_on_eight_devices() -> None:
    assert jax.device_count() == 8


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        (None, (8, 1, 1)),
        ({}, (8, 1, 1)),
        ({"fsdp": 4}, (2, 4, 1)),
        ({"data": 2, "fsdp": 2, "tensor": 2}, (2, 2, 2)),
    ],
)
def test_data_takes_the_devices_that_are_left(
    shape: dict[str, int] | None, sizes: tuple[int, ...]
) -> None:
    mesh = meshes.make_mesh(shape)
    assert tuple(mesh.shape.items()) == tuple(zip(meshes.AXES, sizes, strict=True))


def test_wrong_meshes_are_refused() -> None:
    with pytest.raises(UserError, match="needs 3 devices, but there are 8"):
        meshes.make_mesh({"data": 3})
    with pytest.raises(UserError, match="needs 6 devices"):
        meshes.make_mesh({"fsdp": 3})
    with pytest.raises(UserError, match="'model' is unknown"):
        meshes.make_mesh({"model": 2})


def test_shardings_split_or_copy() -> None:
    mesh = meshes.make_mesh({"fsdp": 2})
    x = jnp.zeros((16, 3))
    copied = jax.device_put(x, meshes.replicated(mesh))
    assert {shard.data.shape for shard in copied.addressable_shards} == {(16, 3)}
    split = jax.device_put(x, meshes.along(mesh, "data"))
    assert {shard.data.shape for shard in split.addressable_shards} == {(4, 3)}
    finer = jax.device_put(x, meshes.along(mesh, ("data", "fsdp")))
    assert {shard.data.shape for shard in finer.addressable_shards} == {(2, 3)}


@pytest.mark.parametrize(("n", "k", "padded"), [(0, 8, 0), (1, 8, 8), (8, 8, 8), (9, 8, 16)])
def test_padding(n: int, k: int, padded: int) -> None:
    assert meshes.pad_to_multiple(n, k) == padded
