"""`python -m mole_jax.interop COMMAND ...`: import files of other programs, and export ours."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mole_jax.core.program import command
from mole_jax.core.program.arguments import Parser

# Command -> its module, and what it does. A module has `add_arguments(parser)` and `run(flags)`,
# which returns an exit code or None for 0. It is imported only for its own command, so none waits
# for the packages of another.
COMMANDS: dict[str, tuple[str, str]] = {
    "export-network": ("export_network", "a snapshot of a zoo -> safetensors with a card"),
    "import-network": ("import_network", "a PyTorch state_dict in safetensors -> npz"),
    "export-zoo": ("export_zoo", "a zoo -> safetensors, one file per run"),
    "import-zoo": ("import_zoo", "what export-zoo has written -> a zoo"),
    "import-gpt-model": (
        "gpt.import_gpt",
        "a published G.pt checkpoint -> a workdir to predict from",
    ),
    "export-model": ("export_model", "a workdir's meta-model -> one file to predict from"),
    "export-gpt-model": ("gpt.export_gpt", "a workdir's meta-model -> a checkpoint in G.pt's form"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: what the command returns, or those of `command.explained`.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)

    def run() -> int | None:
        flags, chosen = _parse(arguments)
        return chosen(flags)

    return command.explained(run)


def _parse(
    arguments: Sequence[str],
) -> tuple[argparse.Namespace, Callable[[argparse.Namespace], Any]]:
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    parser = Parser(prog="python -m mole_jax.interop", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        its = commands.add_parser(name, help=text, description=f"{text}.")
        if name == chosen:
            found = importlib.import_module(f"mole_jax.interop.{module}")
            found.add_arguments(its)
            its.set_defaults(run=found.run)
    flags = parser.parse_args(arguments)
    return flags, flags.run


if __name__ == "__main__":
    command.leave(main())
