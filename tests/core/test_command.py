"""What ends a command is said in one line, and decides its exit code."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import weakref

import pytest

from mole_jax.core import command
from mole_jax.core.errors import UserError


def stopped_by(which: signal.Signals) -> None:
    os.kill(os.getpid(), which)


class Compiled:
    """Stands for what XLA works on."""


def refused() -> None:
    raise UserError("there is no such thing: name another")


@pytest.mark.parametrize(
    ("run", "code", "said"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (refused, 2, "error: there is no such thing: name another\n"),
        (lambda: stopped_by(signal.SIGINT), 130, "interrupted; do it again\n"),
        (lambda: stopped_by(signal.SIGTERM), 143, "terminated; do it again\n"),
    ],
)
def test_what_is_said(run: object, code: int, said: str, capsys: pytest.CaptureFixture) -> None:
    assert command.explained(run, "; do it again") == code  # type: ignore[arg-type]
    assert capsys.readouterr().err == said


def test_a_bug_goes_on_its_way() -> None:
    with pytest.raises(ZeroDivisionError):
        command.explained(lambda: 1 // 0)


def test_what_a_signal_interrupts_is_kept() -> None:
    """Freed, a program that is being compiled would crash those who compile it."""
    gone = []

    def run() -> None:
        program = Compiled()
        weakref.finalize(program, gone.append, "program")
        stopped_by(signal.SIGINT)

    assert command.explained(run) == command.INTERRUPTED
    gc.collect()
    assert not gone


@pytest.mark.parametrize(("code", "torn_down"), [(0, True), (2, True), (130, False), (143, False)])
def test_after_a_signal_python_is_not_taken_down(code: int, torn_down: bool) -> None:
    """Beneath threads of libraries, which then crash; what was printed is there all the same."""
    program = (
        "import atexit, sys; from mole_jax.core import command; "
        f"atexit.register(print, 'torn down'); print('begun'); command.leave({code})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout.splitlines() == ["begun"] + ["torn down"] * torn_down
