"""`python -m mole_jax.interop export-zoo`: a zoo as safetensors, one file per run."""

from __future__ import annotations

import argparse

from mole_jax.core.storage.paths import user_path
from mole_jax.interop.zoo_files import export_zoo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("source", type=user_path, metavar="ZOO", help="what to read")
    parser.add_argument(
        "--out", type=user_path, required=True, metavar="DIR", help="the folder to write"
    )


def run(flags: argparse.Namespace) -> None:
    """Run the command."""
    print(f"{flags.out}: {export_zoo(flags.source, flags.out)} runs")
