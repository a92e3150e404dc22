"""How the commands of this package end: what they say to the user, and their exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from mole_jax.core import interrupts, precision
from mole_jax.core.errors import UserError

MENDABLE, HUNG_UP, INTERRUPTED, TERMINATED = 2, 129, 130, 143

_kept: list[KeyboardInterrupt] = []  # until the process ends


def explained(run: Callable[[], int | None], advice: str = "") -> int:
    """Run a command, and say in a line on stderr what has stopped it.

    `advice` is added to that line where a signal has.

    Returns:
        The exit code: 2 after a UserError, 129 after SIGHUP, 130 after Ctrl-C, 143 after SIGTERM;
        else what `run` returns, None being 0.
    """
    try:
        with interrupts.handled(), precision.single_in_process():
            return run() or 0
    except UserError as problem:
        code, line = MENDABLE, f"error: {problem}"
    except KeyboardInterrupt as stop:
        # With it would go all that the interrupted functions were at, such as a program that XLA
        # is compiling in other threads: that crashes.
        _kept.append(stop)
        if isinstance(stop, interrupts.HungUp):
            code, line = HUNG_UP, f"the terminal was closed{advice}"
        elif isinstance(stop, interrupts.Terminated):
            code, line = TERMINATED, f"terminated{advice}"
        else:
            code, line = INTERRUPTED, f"interrupted{advice}"
    print(line, file=sys.stderr, flush=True)
    return code


def leave(code: int) -> NoReturn:
    """End the process.

    After a signal at once: threads of XLA and TensorStore may be in the middle of something, and
    crash where Python is taken down beneath them.
    """
    if code in (HUNG_UP, INTERRUPTED, TERMINATED):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
