"""The commands that the package installs: `mole`, `mole-zoo` and `mole-predict`.

Each runs a `python -m mole_jax...` and ends as that does. pyproject.toml names them.
"""

from __future__ import annotations

from typing import NoReturn

from mole_jax.core.program.command import leave


def mole() -> NoReturn:
    """Run `python -m mole_jax.main`."""
    from mole_jax.main import main

    leave(main())


def mole_zoo() -> NoReturn:
    """Run `python -m mole_jax.zoo`."""
    from mole_jax.zoo.__main__ import main

    leave(main())


def mole_predict() -> NoReturn:
    """Run `python -m mole_jax.predict`."""
    from mole_jax.predict import main

    leave(main())
