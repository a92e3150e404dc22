"""A terminal that closes: what is held is kept, and the program ends as after SIGTERM."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]

# The first process of a terminal is told when it closes.
CONTROLLED = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
termios.tcsetwinsize(0, (24, 80))
"""

# A loop as training has it: it shows progress, and keeps what it has when it is asked to stop.
PROGRAM = """
import sys, time
from pathlib import Path
from mole_jax.core.console import interrupts
from mole_jax.core.program import command
from mole_jax.core.console.progress import Progress

def work():
    with interrupts.held() as asked, Progress("work", total=10_000) as bar:
        for step in range(10_000):
            time.sleep(0.02)
            bar.update(1, step=step)
            if asked():
                print("asked at", step, flush=True)
                Path(sys.argv[1]).write_text("kept")
                break

command.leave(command.explained(work))
"""

# Nobody tells it that the terminal is gone, as after `disown`: it finishes.
DISOWNED = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from mole_jax.core.program import command
from mole_jax.core.console.progress import Progress

def work():
    with Progress("work", total=40) as bar:
        for step in range(40):
            time.sleep(0.05)
            bar.update(1, step=step)
    Path(sys.argv[1]).write_text("finished")

command.leave(command.explained(work))
"""


def closed_terminal(program: str, result: Path) -> int:
    """Run a program in a terminal, close that once it shows progress, and return the exit code."""
    master, slave = os.openpty()
    command = [sys.executable, "-c", CONTROLLED + program, str(result)]
    child = subprocess.Popen(
        command, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    try:
        return _code_after_closing(child, master)
    finally:
        child.kill()
        child.wait()


def _code_after_closing(child: subprocess.Popen[bytes], master: int) -> int:
    seen, deadline = b"", time.monotonic() + 60
    while b"work:" not in seen and time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            seen += os.read(master, 4096)
    assert b"work:" in seen, seen
    os.close(master)
    return child.wait(60)


def test_a_closed_terminal_loses_nothing(tmp_path: Path) -> None:
    assert closed_terminal(PROGRAM, tmp_path / "result") == 129
    assert (tmp_path / "result").read_text() == "kept"


def test_what_is_not_told_goes_on(tmp_path: Path) -> None:
    assert closed_terminal(DISOWNED, tmp_path / "result") == 0
    assert (tmp_path / "result").read_text() == "finished"
