"""What tests register is forgotten after them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mole_jax.tasks import networks, sources


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Give networks and data sources back the names that they had before the block."""
    dicts = (
        *(networks.KINDS, networks.CONFIGS, networks._ADDED._origins),
        *(sources.FORMS, sources.SHORT_NAMES, sources._READERS, sources._ADDED._origins),
    )
    lists = (networks.NAMES, networks.CLASSIFIERS, networks.POLICIES)
    before = [dict(found) for found in dicts], [list(found) for found in lists]
    try:
        yield
    finally:
        for found, was in zip(dicts, before[0], strict=True):
            found.clear()
            found.update(was)
        for names, had in zip(lists, before[1], strict=True):
            names[:] = had
