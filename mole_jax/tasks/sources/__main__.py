"""`python -m mole_jax.tasks.sources SOURCE`: what a data source holds, and a picture of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.program.arguments import Parser
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage.paths import user_path
from mole_jax.tasks import sources
from mole_jax.tasks.sources import ImageData, contact_sheet

_EXAMPLES = """examples:
  python -m mole_jax.tasks.sources digits
  python -m mole_jax.tasks.sources glyphs:28 --show glyphs.png
  python -m mole_jax.tasks.sources idx:MNIST+glyphs:28 --show mixture.png --classes 40 --seed 3
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: see `command.explained`."""
    parser = Parser(
        prog="python -m mole_jax.tasks.sources",
        description="Say what a data source holds, and draw examples of its classes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="as in --config.data.source=SOURCE")
    text = "write a contact sheet: a row for each class, with its name and random images"
    parser.add_argument("--show", type=user_path, metavar="FILE.png", help=text)
    text = "random classes on the sheet (default: %(default)s)"
    parser.add_argument("--classes", type=int, default=24, metavar="N", help=text)
    text = "seed for the choice of classes and images (default: %(default)s)"
    parser.add_argument("--seed", type=int, default=0, metavar="S", help=text)
    arguments = sys.argv[1:] if arguments is None else arguments
    return explained(lambda: _run(parser.parse_args(arguments)))


def _run(flags: argparse.Namespace) -> None:
    # Before the source is read, which may take minutes.
    if flags.show and flags.show.suffix.lower() != ".png":
        png = flags.show.with_suffix(".png")
        raise UserError(f"--show {flags.show}: a contact sheet is a PNG; name it {png}")
    if flags.show and flags.show.is_dir():
        raise UserError(f"--show {flags.show} is a folder; give the name of a file")
    if flags.classes < 1 or flags.seed < 0:
        raise UserError("--classes must be at least 1 and --seed at least 0")
    data = sources.load(flags.source)
    for line in _described(data):
        print(line)
    if flags.show:
        contact_sheet.save(data, flags.show, flags.classes, flags.seed)
        print(f"wrote        {flags.show}")


def _described(data: ImageData) -> Iterator[str]:
    """Yield what a data source holds, line by line."""
    counts = np.bincount(data.labels)
    height, width, channels = data.images.shape[1:]
    each = (
        f"{counts.min():,}"
        if counts.min() == counts.max()
        else f"{counts.min():,} to {counts.max():,}"
    )
    yield f"name         {data.name}"
    yield f"images       {len(data.labels):,} of {height}x{width}x{channels}, {data.images.dtype}"
    yield f"classes      {data.n_classes:,}, {each} images each"
    yield f"pixels       {data.images.min():g} to {data.images.max():g}"
    yield f"test set     {int(data.official_test.sum()):,} images of its own"
    yield f"sha256       {data.sha256}"


if __name__ == "__main__":
    leave(main())
