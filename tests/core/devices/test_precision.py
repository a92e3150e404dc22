"""Commands and functions of MOLE compute in 32 bits, and leave the setting as they found it."""

from __future__ import annotations

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.devices import precision
from mole_jax.core.program import command


def test_a_command_computes_in_32_bits(capsys: pytest.CaptureFixture[str]) -> None:
    found = {}

    def work() -> None:
        found["here"] = jnp.asarray(np.float64(1)).dtype
        other = threading.Thread(target=lambda: found.update(there=jnp.zeros(1, float).dtype))
        other.start()
        other.join()

    jax.config.update("jax_enable_x64", True)
    try:
        assert command.explained(work) == 0
        assert jnp.zeros(1, float).dtype == jnp.float64
    finally:
        jax.config.update("jax_enable_x64", False)
    assert found == {"here": jnp.float32, "there": jnp.float32}
    assert "this command computes in 32" in capsys.readouterr().err
    assert command.explained(work) == 0
    assert capsys.readouterr().err == ""  # nothing to say where nothing is changed


def test_a_function_computes_in_32_bits() -> None:
    double = precision.single()(lambda: jnp.asarray(np.float64(1)))
    jax.config.update("jax_enable_x64", True)
    try:
        assert double().dtype == jnp.float32
        assert jnp.asarray(np.float64(1)).dtype == jnp.float64
    finally:
        jax.config.update("jax_enable_x64", False)
