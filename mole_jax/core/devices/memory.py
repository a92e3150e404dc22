"""How much memory devices have, and how much of it arrays take."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

_MEMINFO = Path("/proc/meminfo")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def available(device: jax.Device) -> int | None:
    """Return the bytes that a process may use on a device, None where they are unknown.

    Accelerators report their limit; devices on a CPU share evenly what the machine has left.
    """
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"]
    left = on_host() if device.platform == "cpu" else None
    return None if left is None else left // jax.local_device_count()


def on_host() -> int | None:
    """Return the bytes of free memory on this machine, None where they are unknown."""
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return None


def on_each(tree: Any) -> int:
    """Count the bytes that each device holds of a pytree of arrays.

    Leaves may be jax.ShapeDtypeStruct with shardings; a leaf without a sharding counts whole.
    """
    return sum(map(_on_each, jax.tree.leaves(tree)))


def _on_each(leaf: Any) -> int:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    sharding = getattr(leaf, "sharding", None)
    shape = leaf.shape if sharding is None else sharding.shard_shape(leaf.shape)
    return math.prod(shape) * leaf.dtype.itemsize


def written(n_bytes: float) -> str:
    """Format a number of bytes for people: `1.5 GiB`."""
    unit = 0
    while n_bytes >= 999.95 and unit < len(_UNITS) - 1:
        n_bytes, unit = n_bytes / 1024, unit + 1
    return f"{n_bytes:.{0 if unit == 0 else 1}f} {_UNITS[unit]}"
