"""Mistakes in a command line are one line, with the nearest name."""

from __future__ import annotations

import contextlib
import errno
import io

import pytest

from mole_jax.core.errors import UserError
from mole_jax.core.program.arguments import Parser


def parser() -> Parser:
    made = Parser(prog="do")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    its = commands.add_parser("info")
    its.add_argument("path")
    its.add_argument("--members", type=int, required=True)
    its.add_argument("-n", type=int)
    commands.add_parser("verify")
    return made


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("info x --membres=3", "flag --membres is unknown: did you mean --members?"),
        ("info x --member 3", "flag --member is unknown: did you mean --members?"),  # no prefixes
        ("info x --zzz", "flag --zzz is unknown: do info --help shows how"),
        ("inof x", "did you mean info?"),
        ("info x", "the following arguments are required: --members: do info --help shows how"),
        ("info x --members=3.5", "invalid int value: '3.5'"),
        ("info x y --members=3", "unrecognized arguments: y"),
        ("", "the following arguments are required: COMMAND"),
    ],
)
def test_mistakes(arguments: str, message: str) -> None:
    with pytest.raises(UserError) as told:
        parser().parse_args(arguments.split())
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_help_that_cannot_be_written_is_no_success() -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with contextlib.redirect_stdout(Full()), pytest.raises(OSError, match="No space left"):
        parser().parse_args(["info", "--help"])


def test_what_is_right() -> None:
    assert parser().parse_args(["info", "x", "--members=3", "-n", "-4"]).n == -4
    assert parser().parse_args(["info", "--members", "3", "--", "--x"]).path == "--x"
