"""Requests to stop: Ctrl-C, SIGTERM (from schedulers) and SIGHUP (a terminal that closes).

Work that can be repeated ends at once, by an exception. Work that would be lost, such as training
steps since the last checkpoint, runs in a `held` block: it continues until it can be saved, and
then stops. If one of several processes is asked to stop, all stop at the same point.
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
    """State of this process: signals go to a process and its main thread."""

    holding = False
    asked: signal.Signals | None = None
    raised: signal.Signals | None = None


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Make SIGINT raise KeyboardInterrupt, SIGTERM Terminated and SIGHUP HungUp in this block.

    A signal that is `held` does not raise. For the main thread only. Signals that are ignored stay
    ignored, such as SIGINT in a shell's background jobs and SIGHUP under nohup.
    """
    before = {s: signal.getsignal(s) for s in SIGNALS}
    taken = [s for s in SIGNALS if before[s] != signal.SIG_IGN]
    for s in taken:
        signal.signal(s, _on_signal)
    try:
        yield
    except Exception as problem:
        if _Held.raised is not None:
            # An extension module that a signal interrupts may raise anything. Print it, in case it
            # has nothing to do with the signal.
            print(f"after a signal: {type(problem).__name__}: {problem}", file=sys.stderr)
        check()
        raise
    finally:
        _Held.raised = None
        for s in taken:
            signal.signal(s, before[s])


def check() -> None:
    """Raise again an interrupt that was raised in this block of `handled` but swallowed.

    Python drops exceptions raised in a finaliser, and some libraries swallow them, for example
    while they are imported.
    """
    if _Held.raised is not None:
        _raise(_Held.raised)


@contextlib.contextmanager
def held() -> Iterator[Callable[[], bool]]:
    """Hold back the first signal that arrives in this block until the block ends.

    Hold a loop as a whole and let it end itself when asked: a signal between two blocks would stop
    it at once. A signal that was raised earlier and swallowed (see `check`) counts as arriving
    here. All processes must enter the block, call the yielded function and leave the block in step.

    Yields:
        A function that returns whether any process has received a signal, so that the block can
        save its work. A second signal is not held back, unless it repeats that the terminal is
        gone.
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
    if late is not None:  # arrived since, not at all processes: the next block begins with it
        if distributed.count() == 1:
            _raise(late)
        _Held.asked = late


def _agreed() -> signal.Signals | None:
    """Return the signal that one of the processes has received, if any."""
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
