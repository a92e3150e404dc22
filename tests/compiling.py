"""How XLA compiles in tests: quickly, since they run little of what they compile.

Imports nothing of JAX, which reads these settings when it starts.
"""

from __future__ import annotations

from importlib.metadata import version

# Of jaxlib 0.10: older, simpler code for fused operations, compiled in half the time where most
# optimisations are off. JAX ends where it does not know a flag, so others are compiled as they are.
QUICK = "--xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""
# Eight devices on a few busy cores may wait long for one another: XLA aborts after 40 s.
EIGHT_DEVICES = (
    "--xla_force_host_platform_device_count=8",
    "--xla_cpu_collective_call_terminate_timeout_seconds=300",
)
# The environment of a command on one device.
ONE_DEVICE = {"XLA_FLAGS": QUICK, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
