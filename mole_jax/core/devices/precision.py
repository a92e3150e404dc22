"""MOLE computes in 32 bits, even if JAX is set to 64: its files and checksums have 32."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

_VARIABLE = "JAX_ENABLE_X64"


@contextlib.contextmanager
def single_in_process() -> Iterator[None]:
    """Set JAX to 32 bits in this block, in all threads, and say so where it was set to 64.

    For commands. It does not import JAX, so a refused command need not wait for it.
    """
    before = os.environ.get(_VARIABLE)
    if sys.modules.get("jax") is not None:
        import jax

        double = bool(jax.config.values["jax_enable_x64"])
    else:
        double = (before or "").lower() in ("1", "y", "yes", "t", "true", "on")
    if not double:
        yield
        return
    print(f"JAX is set to 64 bits ({_VARIABLE}); this command computes in 32", file=sys.stderr)
    os.environ[_VARIABLE] = "0"  # for JAX, if it starts in this block, and for child processes
    _set(False)
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE)
        if before is not None:
            os.environ[_VARIABLE] = before
        _set(True)


def _set(double: bool) -> None:
    if sys.modules.get("jax") is not None:
        import jax

        jax.config.update("jax_enable_x64", double)


@contextlib.contextmanager
def single() -> Iterator[None]:
    """Set JAX to 32 bits in this block, in this thread; also a decorator of functions."""
    import jax

    with jax.enable_x64(False):
        yield
