"""A terminal that closes while a program writes to it: the program continues silently."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

STREAMS = (1, 2)  # standard output and standard error
# Asked once: the system no longer reports a closed terminal as one.
_terminals = tuple(fd for fd in STREAMS if os.isatty(fd))


def width() -> int:
    """Return how many columns standard error shows: 0 if it is no terminal or has none."""
    if not sys.stderr.isatty():
        return 0
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):  # the size is unknown
        return 80


def leave() -> None:
    """Send output for the terminal to /dev/null from here on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in _terminals:
        os.dup2(nowhere, fd)
    os.close(nowhere)


@contextlib.contextmanager
def may_be_gone() -> Iterator[None]:
    """Leave the terminal if writing to it fails in this block because it is gone."""
    try:
        yield
    except OSError as problem:
        if problem.errno != errno.EIO or not _terminals:
            raise
        leave()
