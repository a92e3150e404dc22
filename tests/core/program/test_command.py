"""What ends a command is said in one line, and decides its exit code; output may fail."""

from __future__ import annotations

import errno
import gc
import os
import re
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest

from mole_jax.core.errors import UserError
from mole_jax.core.program import command


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
        "import atexit, sys; from mole_jax.core.program import command; "
        f"atexit.register(print, 'torn down'); print('begun'); command.leave({code})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout.splitlines() == ["begun"] + ["torn down"] * torn_down


@pytest.fixture
def stdout_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], TextIO]]:
    """Makes standard output a buffered stream to a file descriptor, which it takes over."""
    made: list[TextIO] = []

    def replace(descriptor: int) -> TextIO:
        made.append(os.fdopen(descriptor, "w"))
        monkeypatch.setattr(sys, "stdout", made[-1])
        return made[-1]

    yield replace
    for stream in made:
        stream.close()  # raises where something is left that cannot be written


def pipe_without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full_device() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def helps() -> None:
    print("usage")
    raise SystemExit(0)


def prints_and_flushes() -> None:
    print("usage", flush=True)


def prints_much() -> None:
    print("usage\n" * 100_000)


@pytest.mark.parametrize("run", [helps, prints_and_flushes, lambda: print("usage")])
@pytest.mark.parametrize(
    ("device", "code", "said"),
    [
        (pipe_without_reader, 141, ""),
        (full_device, 2, "error: output cannot be written (No space left on device)\n"),
    ],
)
def test_output_that_cannot_be_written(
    run: Callable[[], None],
    device: Callable[[], int],
    code: int,
    said: str,
    stdout_to: Callable[[int], TextIO],
    capsys: pytest.CaptureFixture,
) -> None:
    """Quiet where nobody reads, a line where nothing fits; nothing is left for Python's end."""
    stream = stdout_to(device())
    assert command.explained(run) == code
    assert capsys.readouterr().err == said
    stream.flush()


@pytest.mark.parametrize(("device", "code"), [(pipe_without_reader, 141), (full_device, 2)])
def test_what_is_too_long_for_a_buffer(
    device: Callable[[], int],
    code: int,
    stdout_to: Callable[[int], TextIO],
    capsys: pytest.CaptureFixture,
) -> None:
    """Python keeps nothing of it, so that nothing is left to flush."""
    stdout_to(device())
    assert command.explained(prints_much) == code
    said = capsys.readouterr().err
    assert said == ("" if code == 141 else "error: the disk is full: make space\n")


def test_what_has_nothing_to_do_with_the_output_is_told(
    stdout_to: Callable[[int], TextIO], capsys: pytest.CaptureFixture
) -> None:
    """A UserError, a bug, and another pipe of the program's own."""
    stdout_to(pipe_without_reader())

    def refused_after_a_line() -> None:
        print("begun")
        refused()

    def other_pipe() -> None:
        os.write(pipe_without_reader(), b"x")

    assert command.explained(refused_after_a_line) == command.FIXABLE
    assert capsys.readouterr().err == "error: there is no such thing: name another\n"
    with pytest.raises(ZeroDivisionError):
        command.explained(lambda: print(1 // 0))
    stdout_to(os.open(os.devnull, os.O_WRONLY))
    with pytest.raises(BrokenPipeError):
        command.explained(other_pipe)


def test_a_full_disk_is_told_by_every_command(capsys: pytest.CaptureFixture) -> None:
    def write() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.npz")

    assert command.explained(write, "; do it again") == command.FIXABLE
    assert capsys.readouterr().err == "error: the disk is full: make space; do it again\n"


ROOT = Path(command.__file__).parents[3]
PROGRAMS = sorted(
    path
    for folder in ("mole_jax", "launch", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_program_ends_by_leave_after_explained(path: Path) -> None:
    source = path.read_text()
    assert re.search(r"leave\((explained\()?main(\(\)|\))\)\n$", source)
    assert re.search(r"\bexplained\(", source)


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("-m mole_jax.main", "--help"),
        ("-m mole_jax.zoo", "--help"),
        ("-m mole_jax.interop", "--help"),
        ("launch/prepare_data.py", "--help"),
        ("-m mole_jax.zoo", "info --help"),
    ],
)
@pytest.mark.parametrize("device", [pipe_without_reader, full_device])
def test_programs_are_quiet_to_their_very_end(
    program: str, arguments: str, device: Callable[[], int]
) -> None:
    out = device()
    line = [sys.executable, *program.split(), *arguments.split()]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(line, stdout=out, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env)
    os.close(out)
    if device is pipe_without_reader:
        assert (done.returncode, done.stderr) == (141, "")
    else:
        assert done.returncode == 2
        assert done.stderr == "error: output cannot be written (No space left on device)\n"
