"""Progress is drawn in a terminal and told in plain lines elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from mole_jax.core.console import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_there_are_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.Progress("zoo", total=400, unit="runs", initial=100) as bar:
        bar.update(200, loss=0.25)
        bar.update(100, loss=0.125)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("zoo: 300/400 runs [")
    assert "loss=0.25" in lines[0]
    assert "runs/s" in lines[0]
    assert lines[-1].startswith("zoo: 400/400 runs [")
    assert all("\r" not in line for line in lines)


def test_lines_are_occasional(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Progress("train", total=1000) as bar:
        for _ in range(1000):
            bar.update()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.Progress("zoo", total=2, unit="runs") as bar:
        bar.update(2, loss=0.5)
    assert "100%" in screen.getvalue()
    assert "loss=0.5" in screen.getvalue()


def test_an_interrupted_loop_shows_where_it_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), progress.Progress("zoo", total=10) as bar:
        bar.update(3)
        raise KeyboardInterrupt
    assert "zoo: 3/10" in capsys.readouterr().err
