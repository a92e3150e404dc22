"""The command `python -m mole_jax.reference`: pages of docs/reference made from the code.

    python -m mole_jax.reference config
    python -m mole_jax.reference --write

The first prints a page, the second rewrites all of them in the checkout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mole_jax import reference_config, reference_evaluation
from mole_jax.core.errors import UserError
from mole_jax.core.program.arguments import Parser
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
# A page's name, and the function that makes it from the current page.
PAGES: dict[str, Callable[[str], str]] = {
    "config": reference_config.page,
    "evaluation_json": reference_evaluation.page,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: see `command.explained`.
    """
    parser = Parser(
        prog="python -m mole_jax.reference",
        description="Print pages of docs/reference as made from the code, or rewrite them.",
    )
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"{', '.join(PAGES)}; default all")
    parser.add_argument("--write", action="store_true", help="write the pages, do not print them")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    return explained(lambda: _run(parser.parse_args(arguments)))


def made(name: str) -> str:
    """Return a page as made from the code and from its handwritten parts.

    Raises:
        UserError: outside of a checkout, which alone has pages.
    """
    if not FOLDER.is_dir():
        raise UserError(f"there is no folder {FOLDER}: run this in a checkout of MOLE")
    file = file_of(name)
    return PAGES[name](file.read_text(encoding="utf-8") if file.exists() else "")


def file_of(name: str) -> Path:
    """Return where a page is kept."""
    return FOLDER / f"{name}.md"


def _run(flags: argparse.Namespace) -> None:
    if strangers := [name for name in flags.pages if name not in PAGES]:
        raise UserError(f"page {strangers[0]!r} is unknown: choose among {', '.join(PAGES)}")
    for name in flags.pages or PAGES:
        text = made(name)
        if not flags.write:
            print(text, end="")
            continue
        if not file_of(name).exists() or file_of(name).read_text(encoding="utf-8") != text:
            files.write_bytes(file_of(name), text.encode())
            print(f"wrote {file_of(name)}")


if __name__ == "__main__":
    leave(main())
