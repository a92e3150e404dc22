"""How the commands of this package end: what they say to the user, and their exit codes."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn, TextIO

from mole_jax.core.console import interrupts
from mole_jax.core.devices import precision
from mole_jax.core.errors import UserError
from mole_jax.core.storage import files

FIXABLE, HUNG_UP, INTERRUPTED, TERMINATED = 2, 129, 130, 143
UNREAD = 141  # the shells' code for a program whose reader is gone, as in `... | head -1`

_kept: list[KeyboardInterrupt] = []  # until the process ends


@contextlib.contextmanager
def protected() -> Iterator[None]:
    """Run a block as a command runs: in 32 bits, and with signals that wait for what would be lost.

    Signals go to the main thread, so in others only the first holds.
    """
    in_main = threading.current_thread() is threading.main_thread()
    signals = interrupts.handled() if in_main else contextlib.nullcontext()
    try:
        with signals, precision.single_in_process():
            yield
    except KeyboardInterrupt as stop:
        # Freeing it would free what the interrupted functions were using, such as a program that
        # XLA is still compiling in other threads: that crashes.
        _kept.append(stop)
        raise


def explained(run: Callable[[], int | None], advice: str = "") -> int:
    """Run a command, and say in one line on stderr what stopped it.

    `advice` is added to that line after a signal or where a disk is full.

    Returns:
        The exit code: 2 after a UserError or where a disk is full, 129 after SIGHUP, 130 after
        Ctrl-C, 143 after SIGTERM, 141 (without a line) if nobody reads the output any more;
        otherwise what `run` returns, with None as 0.
    """
    try:
        with protected():
            return _printed(run)
    except UserError as problem:
        code, line = FIXABLE, f"error: {problem}"
    except KeyboardInterrupt as stop:
        if isinstance(stop, interrupts.HungUp):
            code, line = HUNG_UP, f"the terminal was closed{advice}"
        elif isinstance(stop, interrupts.Terminated):
            code, line = TERMINATED, f"terminated{advice}"
        else:
            code, line = INTERRUPTED, f"interrupted{advice}"
    except Exception as problem:
        unwritten = _unwritten()
        if isinstance(problem, OSError) and unwritten and unwritten.errno == problem.errno:
            if unwritten.errno == errno.EPIPE:
                return UNREAD
            code, line = FIXABLE, f"error: output cannot be written ({unwritten.strerror})"
        elif files.is_disk_full(problem):
            code, line = FIXABLE, f"error: the disk is full: make space{advice}"
        else:
            raise
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
    return code


def leave(code: int) -> NoReturn:
    """End the process.

    Nothing is left for Python to print at exit, where a failed write gives a traceback. After a
    signal the process ends at once: threads of XLA and TensorStore may be in the middle of
    something and crash when Python is torn down beneath them.
    """
    _unwritten()
    if code in (HUNG_UP, INTERRUPTED, TERMINATED, UNREAD):
        os._exit(code)
    sys.exit(code)


def _printed(run: Callable[[], int | None]) -> int:
    """Run a command and flush its output, the last of which waits in a buffer."""
    code, ended = 0, None
    try:
        code = run() or 0
    except SystemExit as stop:  # argparse's, after --help
        ended = stop
    if sys.stdout is not None:  # it is None after >&-
        sys.stdout.flush()
    if ended is not None:
        raise ended
    return code


def _unwritten() -> OSError | None:
    """Return the error that keeps standard output or error from being written, or None.

    Such a stream is redirected to /dev/null, since Python writes its buffer again at exit and
    complains on stderr.
    """
    found: OSError | None = None
    for stream in (sys.stdout, sys.stderr):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
            if _is_broken(stream):  # without a buffer nothing is left to flush
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        except OSError as problem:
            found = found or problem
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    return found


def _is_broken(stream: TextIO) -> bool:
    """Return whether a stream is a pipe that nobody reads."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except io.UnsupportedOperation:  # a stream in memory
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))
