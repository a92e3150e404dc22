"""A terminal that closes while a program writes to it: the program continues in silence."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

STREAMS = (1, 2)  # standard output and standard error
# Asked once: of a terminal that is gone the system no longer says that it is one.
_terminals = tuple(fd for fd in STREAMS if os.isatty(fd))


def width() -> int:
    """Return how many columns standard error shows: 0 where it is no terminal, or one without."""
    if not sys.stderr.isatty():
        return 0
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):  # it does not say
        return 80


def leave() -> None:
    """Write to nowhere from here on in place of the terminal."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in _terminals:
        os.dup2(nowhere, fd)
    os.close(nowhere)


@contextlib.contextmanager
def may_be_gone() -> Iterator[None]:
    """Leave the terminal where writing to it fails in this block because it is gone."""
    try:
        yield
    except OSError as problem:
        if problem.errno != errno.EIO or not _terminals:
            raise
        leave()
