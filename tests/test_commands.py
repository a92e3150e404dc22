"""Every command of the programs with several has its module, with flags and a function to run."""

from __future__ import annotations

import importlib

import pytest

from mole_jax.interop.__main__ import COMMANDS
from mole_jax.report.__main__ import COMMANDS as PAGES
from mole_jax.zoo.__main__ import MODULES

FOUND = [
    *(f"mole_jax.{module}" for module, _ in MODULES.values()),
    *(f"mole_jax.interop.{module}" for module, _ in COMMANDS.values()),
    *(f"mole_jax.report.{module}" for module, _ in PAGES.values()),
]


@pytest.mark.parametrize("name", FOUND)
def test_every_command_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert callable(module.add_arguments) and callable(module.run)
