"""Being asked to stop: Ctrl-C, SIGTERM (from schedulers), or SIGHUP (a terminal that closes).

Work that can be done again is left at once, by an exception. What cannot, such as a training since
its last checkpoint, is `held`: it continues to a place where it can be kept, and then stops. Of
several processes all stop at the same place when one of them is asked to.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from mole_jax.core.console import terminal
from mole_jax.core.devices import distributed

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


class HungUp(Terminated):
    """SIGHUP has come: the terminal is gone."""


_RAISES = {signal.SIGTERM: Terminated, signal.SIGHUP: HungUp}


class _Held:
    """Of this process, since signals come to a process and to its main thread."""

    holding = False
    asked: signal.Signals | None = None
    raised: signal.Signals | None = None


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """In this block, SIGINT raises KeyboardInterrupt, SIGTERM Terminated and SIGHUP HungUp.

    Unless they are held. For the main thread only. A signal that is ignored, as SIGINT in jobs that
    a shell runs in the background and SIGHUP under nohup, stays ignored.
    """
    before = {s: signal.getsignal(s) for s in SIGNALS}
    taken = [s for s in SIGNALS if before[s] != signal.SIG_IGN]
    for s in taken:
        signal.signal(s, _on_signal)
    try:
        yield
    except Exception as problem:
        if _Held.raised is not None:
            # An extension that a signal stops in its tracks raises what it likes. Said, in case
            # that it has nothing to do with the signal.
            print(f"after a signal: {type(problem).__name__}: {problem}", file=sys.stderr)
        check()
        raise
    finally:
        _Held.raised = None
        for s in taken:
            signal.signal(s, before[s])


def check() -> None:
    """Raise again what has been raised before, in this block of `handled`, and was swallowed.

    Python itself drops what is raised in a finaliser, and so do libraries here and there, such as
    while they are imported.
    """
    if _Held.raised is not None:
        _raise(_Held.raised)


@contextlib.contextmanager
def held() -> Iterator[Callable[[], bool]]:
    """Hold back the first signal that comes in this block until its end.

    A loop is held as a whole, and leaves itself where it is asked to: a signal between two blocks
    would stop it at once. One that has been raised before and was swallowed (see `check`) comes
    again, here. Every process has to enter the block, call what it yields and leave the block in
    step.

    Yields:
        A function that returns whether one has come to any process, so that the block can keep what
        it has. A second signal is not held back, unless it says again that the terminal is gone.
    """
    _Held.holding = True
    _Held.asked = _Held.asked or _Held.raised
    agreed: list[signal.Signals] = []

    def asked() -> bool:
        found = _agreed()
        agreed[:] = [found] if found is not None else []
        return found is not None

    try:
        yield asked
    finally:
        _Held.holding, late = False, _Held.asked
        _Held.asked = None
    if agreed:
        distributed.part_together()
        _raise(agreed[0])
    if late is not None:  # has come since, and not to all: the next block begins with it
        if distributed.count() == 1:
            _raise(late)
        _Held.asked = late


def _agreed() -> signal.Signals | None:
    """Return the signal that has come to one of the processes, if any."""
    largest = distributed.largest(_Held.asked or 0)
    return signal.Signals(largest) if largest else None


def _on_signal(number: int, _frame: FrameType | None) -> None:
    asked = signal.Signals(number)
    if asked == signal.SIGHUP:
        terminal.leave()  # writing to it would fail
        # A shell that ends signals its programs, and the system then signals them once more.
        if _Held.holding and _Held.asked is not None:
            return
    if not _Held.holding or _Held.asked is not None:
        _raise(asked)
    _Held.asked = asked
    print("stopping as soon as this is saved; once more to stop at once", file=sys.stderr)


def _raise(asked: signal.Signals) -> None:
    _Held.raised = asked
    raise _RAISES.get(asked, KeyboardInterrupt)
