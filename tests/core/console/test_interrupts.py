"""Signals stop what can be done again at once, and what is held at its end."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from mole_jax.core.console import interrupts


def send(which: signal.Signals) -> None:
    os.kill(os.getpid(), which)


@pytest.mark.parametrize(
    ("which", "error"),
    [
        (signal.SIGINT, KeyboardInterrupt),
        (signal.SIGTERM, interrupts.Terminated),
        (signal.SIGHUP, interrupts.HungUp),
    ],
)
def test_a_signal_stops_at_once_unless_it_is_held(
    which: signal.Signals, error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(which)
    with interrupts.handled(), pytest.raises(error):
        send(which)
    done = []
    with interrupts.handled(), pytest.raises(error), interrupts.held() as asked:
        assert not asked()
        send(which)
        assert asked()
        done.append("kept")
    assert done == ["kept"]
    with interrupts.handled(), interrupts.held() as asked:  # the next block knows nothing of it
        assert not asked()
    assert "stopping" in capsys.readouterr().err
    assert signal.getsignal(which) == before


def test_what_a_library_swallows_is_raised_again() -> None:
    with interrupts.handled():
        interrupts.check()
        with contextlib.suppress(BaseException):
            send(signal.SIGTERM)
        with pytest.raises(interrupts.Terminated):
            interrupts.check()
    interrupts.check()  # what comes after the block knows nothing of it
    with pytest.raises(KeyboardInterrupt), interrupts.handled():
        try:
            send(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None


def test_what_a_library_swallows_comes_again_where_signals_are_held() -> None:
    done = []
    with interrupts.handled(), pytest.raises(KeyboardInterrupt):
        with contextlib.suppress(BaseException):
            send(signal.SIGINT)
        with interrupts.held() as asked:
            assert asked()
            done.append("kept")
    assert done == ["kept"]


def test_a_second_signal_is_not_held() -> None:
    with interrupts.handled(), pytest.raises(KeyboardInterrupt), interrupts.held():
        send(signal.SIGTERM)
        send(signal.SIGINT)
        raise AssertionError("the block should have been left")


def test_a_loop_is_held_also_between_its_rounds() -> None:
    rounds = []
    with (
        interrupts.handled(),
        pytest.raises(interrupts.Terminated),
        interrupts.held() as asked,
    ):
        for i in range(3):
            rounds.append(i)
            if asked():
                break
            send(signal.SIGTERM)  # just after it was asked for
    assert rounds == [0, 1]


@pytest.mark.parametrize("first", interrupts.SIGNALS)
def test_a_terminal_that_is_gone_hurries_nobody(first: signal.Signals) -> None:
    done = []
    with interrupts.handled(), pytest.raises(KeyboardInterrupt), interrupts.held() as asked:
        send(first)
        send(signal.SIGHUP)
        assert asked()
        done.append("kept")
    assert done == ["kept"]


def test_an_error_in_a_held_block_is_not_hidden_by_a_signal() -> None:
    with interrupts.handled():
        with pytest.raises(ValueError, match="mine"), interrupts.held():
            send(signal.SIGTERM)
            raise ValueError("mine")
        with interrupts.held() as asked:
            assert not asked()


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.handled():
            send(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
