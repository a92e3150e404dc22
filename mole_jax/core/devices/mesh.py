"""The device mesh, and the two shardings that most arrays have on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from mole_jax.core.devices.mesh_shape import AXES
from mole_jax.core.errors import UserError

# The axes over which a batch is divided.
BATCH = ("data", "fsdp")


def make_mesh(shape: Mapping[str, int] | None = None) -> Mesh:
    """Arrange all devices in a mesh with axes ("data", "fsdp", "tensor").

    Axes missing from `shape` have size 1, except that a missing "data" takes all devices that
    the others leave. Raises UserError when the sizes do not multiply to the number of devices.
    """
    shape = dict(shape or {})
    devices = jax.device_count()
    if unknown := sorted(set(shape) - set(AXES)):
        raise UserError(f"mesh axis {unknown[0]!r} is unknown: the axes are {', '.join(AXES)}")
    others = math.prod(size for axis, size in shape.items() if axis != "data")
    shape.setdefault("data", max(1, devices // max(1, others)))
    sizes = tuple(shape.get(axis, 1) for axis in AXES)
    if math.prod(sizes) != devices:
        wanted = ", ".join(f"{axis}={size}" for axis, size in zip(AXES, sizes, strict=True))
        raise UserError(
            f"a mesh of {wanted} needs {math.prod(sizes)} devices, but there are {devices}: "
            "choose sizes that multiply to that number"
        )
    # Auto: the compiler propagates shardings. The default, Explicit, wants every one spelt out.
    return jax.make_mesh(sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def local_mesh() -> Mesh:
    """Arrange the devices of this process alone along the axis "data" of such a mesh.

    For work that each process does on its own, such as training populations. With one process it is
    the mesh of `make_mesh()`.
    """
    return _along_data(jax.local_devices())


def first_device() -> Mesh:
    """Return a mesh of this process's first device alone, to try something out on."""
    return _along_data(jax.local_devices()[:1])


def _along_data(devices: Sequence[jax.Device]) -> Mesh:
    in_a_row = np.array(devices).reshape(-1, *(1 for _ in AXES[1:]))
    return Mesh(in_a_row, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding that keeps a whole copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def whole_copies(array: Any) -> Any:
    """Return the sharding that keeps a whole copy on each device that an array is on.

    For a NumPy array: None, the default device.
    """
    found = getattr(array, "sharding", None)
    if isinstance(found, NamedSharding) and isinstance(found.mesh, Mesh):
        return replicated(found.mesh)
    return found


def along(mesh: Mesh, axis: str | tuple[str, ...]) -> NamedSharding:
    """Return the sharding that divides an array's first dimension over a mesh axis (or several).

    The dimension must be a multiple of the axis size: see `pad_to_multiple`.
    """
    return NamedSharding(mesh, PartitionSpec(axis))


def shares(mesh: Mesh) -> int:
    """Return the number of parts that a batch is divided into."""
    return math.prod(mesh.shape[axis] for axis in BATCH)


def pad_to_multiple(n: int, k: int) -> int:
    """Return the smallest multiple of `k` that is at least `n`."""
    return -(-n // k) * k
