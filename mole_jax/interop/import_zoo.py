"""`python -m mole_jax.interop import-zoo`: a zoo that export-zoo has written."""

from __future__ import annotations

import argparse

from mole_jax.core.storage.paths import user_path
from mole_jax.interop.zoo_files import import_zoo
from mole_jax.zoo.storage import usable
from mole_jax.zoo.storage.reader import open_zoo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("source", type=user_path, metavar="DIR", help="what to read")
    parser.add_argument(
        "--out", type=user_path, required=True, metavar="ZOO", help="the folder to write"
    )


def run(flags: argparse.Namespace) -> None:
    """Run the command; raise UserError if no imported run can be trained on."""
    print(f"{flags.out}: {import_zoo(flags.source, flags.out)} runs")
    usable.check(open_zoo(flags.out))
