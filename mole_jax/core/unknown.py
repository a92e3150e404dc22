"""The error for a name that is not among the known ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from mole_jax.core.errors import UserError


def unknown(config_key: str, name: object, names: Iterable[str]) -> UserError:
    """Return the error for an unknown name: with the nearest name and all known ones.

    Args:
        config_key: such as "network.name".
        name: the unknown one.
        names: the known ones.
    """
    known = tuple(names)
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return UserError(f"{config_key}={name!r} is unknown{hint}; there are {known}")
