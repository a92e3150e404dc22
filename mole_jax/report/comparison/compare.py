"""`python -m mole_jax.report compare`: several runs, from what their evaluations have recorded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import write_bytes
from mole_jax.core.storage.paths import user_path
from mole_jax.report.comparison import compare_page, paired_differences
from mole_jax.report.comparison.recorded_run import Run, read_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    text = "a workdir whose evaluate stage is done, or an evaluation.json; two or more"
    parser.add_argument("runs", nargs="*", type=user_path, metavar="RUN", help=text)
    text = "a self-contained page to write, besides the printed tables; none by default"
    parser.add_argument("--out", type=user_path, metavar="FILE.html", help=text)


def run(flags: argparse.Namespace) -> None:
    """Print the comparison, and write it as a page if one is asked for.

    Raises:
        UserError: if a run cannot be read, or the page cannot be written.
    """
    runs = read_runs(flags.runs)
    if flags.out is not None:
        _check(flags.out, runs)
    pairs = paired_differences.compare(runs)
    if flags.out is not None:
        write_bytes(flags.out, compare_page.page(runs, pairs).encode())
    print("\n".join(compare_page.text(runs, pairs)))


def _check(out: Path, runs: Sequence[Run]) -> None:
    """Refuse a page that is a folder, or that would change a run."""
    if out.is_dir():
        raise UserError(f"--out={out} is a folder: name a file in it, such as {out}/compare.html")
    for run in runs:
        inside = run.workdir is not None and out.resolve().is_relative_to(run.workdir.resolve())
        if inside or out.resolve() == run.path.resolve():
            raise UserError(
                f"--out={out} belongs to the run {run.name}, which is only read: name another"
            )
