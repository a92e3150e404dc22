"""Being asked to stop: Ctrl-C, or SIGTERM, which schedulers send before they take a machine away.

Work that can be done again is left at once, by an exception. What cannot, such as a training since
its last checkpoint, is `held`: it goes on to a place where it can be kept, and then stops.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


class _State:
    """Of this process, since signals come to a process and to its main thread."""

    holding = False
    asked: signal.Signals | None = None


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """In this block, SIGINT raises KeyboardInterrupt and SIGTERM Terminated, unless they are held.

    For the main thread only. A signal that is ignored, as SIGINT in jobs that a shell runs in the
    background, stays ignored.
    """
    before = {s: signal.getsignal(s) for s in SIGNALS}
    taken = [s for s in SIGNALS if before[s] != signal.SIG_IGN]
    for s in taken:
        signal.signal(s, _on_signal)
    try:
        yield
    finally:
        for s in taken:
            signal.signal(s, before[s])


@contextlib.contextmanager
def held() -> Iterator[Callable[[], bool]]:
    """Hold back the first signal that comes in this block until its end.

    Yields:
        A function that tells whether one has come, so that the block can keep what it has. A
        second signal is not held back.
    """
    _State.holding, _State.asked = True, None
    try:
        yield lambda: _State.asked is not None
    finally:
        _State.holding, asked = False, _State.asked
        _State.asked = None
    if asked is not None:
        _raise(asked)


def _on_signal(number: int, _frame: FrameType | None) -> None:
    asked = signal.Signals(number)
    if not _State.holding or _State.asked is not None:
        _raise(asked)
    _State.asked = asked
    print("stopping as soon as this is saved; once more to stop at once", file=sys.stderr)


def _raise(asked: signal.Signals) -> None:
    raise Terminated if asked == signal.SIGTERM else KeyboardInterrupt
