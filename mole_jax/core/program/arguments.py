"""Command lines of argparse: mistakes are reported in one line, with the nearest known name."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from mole_jax.core.errors import UserError
from mole_jax.core.program.config import nearest

_CHOICE = re.compile(r"invalid choice: '(?P<given>.*)' \(choose from (?P<known>.*)\)")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError, and takes flags by their whole names only."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **({"allow_abbrev": False} | options))

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write a message, such as the help; argparse would hide a failure to write it."""
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print below its usage."""
        found = _CHOICE.search(message)
        close = found and nearest(found["given"], re.findall(r"[\w.-]+", found["known"]))
        raise UserError(
            f"{message}: did you mean {close}?" if close else f"{message}: {self._more}"
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, but refuse unknown flags before complaining of missing ones."""
        if args is not None and self._subparsers is None:
            self._refuse_unknown(args)
        return super().parse_known_args(args, namespace)

    def _refuse_unknown(self, arguments: Sequence[str]) -> None:
        known = [flag for action in self._actions for flag in action.option_strings]
        for argument in arguments:
            flag = argument.partition("=")[0]
            if flag == "--":
                return
            if flag.startswith("--") and flag not in known:
                close = nearest(flag, known)
                hint = f"did you mean {close}?" if close else self._more
                raise UserError(f"flag {flag} is unknown: {hint}")

    @property
    def _more(self) -> str:
        return f"{self.prog} --help shows how"
