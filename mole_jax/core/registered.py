"""Names that code outside of MOLE adds to those that a config can choose from."""

from __future__ import annotations

import sys
from collections.abc import Container

from mole_jax.core.errors import UserError


class Names:
    """The added names of one config key, each with the file or module that added it."""

    def __init__(self, config_key: str) -> None:
        """`config_key` is such as "network.name"."""
        self._key = config_key
        self._origins: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        """Return whether a name was added."""
        return name in self._origins

    def take(self, name: str, module: str, known: Container[str]) -> None:
        """Take a name for a module; one of the same file may have it already.

        Cells of notebooks run again, and a config file may be imported, too.

        Args:
            name: letters, digits and underscores.
            module: the name of the module that what is added was written in.
            known: all names that there are.

        Raises:
            UserError: for another form of name, and for one that MOLE or another file has.
        """
        if not isinstance(name, str) or not (name.isidentifier() and name.isascii()):
            raise UserError(
                f"{self._key}={name!r} cannot be registered: take letters, digits and underscores"
            )
        origin = getattr(sys.modules.get(module), "__file__", None) or module
        if name in known and self._origins.get(name) != origin:
            owner = self._origins.get(name, "MOLE")
            raise UserError(f"{self._key}={name!r} is taken, by {owner}: choose another name")
        self._origins[name] = origin
