"""Every test runs on eight virtual CPU devices, and silent broadcasting is an error."""

from __future__ import annotations

import os
import sys

# Read when JAX starts, hence before anything imports it; subprocesses of tests inherit them.
assert "jax" not in sys.modules, "JAX was imported before tests/conftest.py could configure it"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=8"]
).strip()
os.environ["MPLBACKEND"] = "agg"  # figures are drawn to files, on machines without a screen
