"""`python -m mole_jax.report COMMAND ...`: pages besides an experiment's own report.

The page of a single experiment is made by the stage `report` of `python -m mole_jax.main`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from mole_jax.core.program.arguments import Parser
from mole_jax.core.program.command import explained, leave

# Command -> its module, which has `add_arguments(parser)` and `run(flags)`, and what it shows. A
# module is imported for its own command only.
COMMANDS = {
    "compare": (
        "comparison.compare",
        "settings and results of several runs side by side, and differences on the same tasks",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; without one, print help.

    Returns:
        The exit code, as `command.explained` has it.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = Parser(prog="python -m mole_jax.report", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"Show {text}.")
        if arguments[:1] == [name]:
            found = importlib.import_module(f"mole_jax.report.{module}")
            found.add_arguments(command)
            command.set_defaults(run=found.run)

    def run() -> int | None:
        flags = parser.parse_args(arguments or ["--help"])
        return flags.run(flags)

    return explained(run)


if __name__ == "__main__":
    leave(main())
