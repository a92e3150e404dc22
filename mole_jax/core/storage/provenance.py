"""Where a result came from: code, versions, hardware, date."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mole_jax

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorstore", "numpy", "scipy",
            "scikit-learn")  # fmt: skip


def environment() -> dict[str, Any]:
    """Describe this process, as plain data for a JSON file.

    Keys: mole, commit (None outside a git checkout), dirty, python, packages {name: version},
    system, hardware {cpu, cores, devices {"cpu": 8}}, date (UTC, ISO 8601).
    """
    commit = _git("rev-parse", "HEAD")
    return {
        "mole": mole_jax.__version__,
        "commit": commit,
        "dirty": bool(_git("status", "--porcelain", "--", "mole_jax")) if commit else None,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "hardware": {"cpu": _cpu(), "cores": _cores(), "devices": _devices()},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def devices_line() -> str:
    """Return the devices in a few words: `1 x cpu (AMD EPYC 7B13, 2 cores)`."""
    parts = [f"{count} x {kind}" for kind, count in _devices().items()]
    return f"{', '.join(parts)} ({_cpu()}, {_cores()} cores)"


def _devices() -> dict[str, int]:
    import jax  # here and not above, so that naming versions does not start a backend

    return dict(Counter(device.device_kind for device in jax.devices()))


def _cores() -> int:
    # The cores this process may use, which in a container are fewer than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Return git's answer about the checkout this package lies in, or None when it is not one."""
    root = Path(mole_jax.__file__).parents[1]
    if not (root / ".git").exists():  # installed; an unrelated repository may lie further up
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # no git, or a checkout it will not read
        return None
    return done.stdout.strip()
