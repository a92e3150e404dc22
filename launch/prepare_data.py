"""Prepare an image data set of TensorFlow Datasets, once, for `--config.data.source=tfds:NAME`.

    python launch/prepare_data.py cifar10
    python launch/prepare_data.py NAME --data_dir=DIR

It is downloaded and stored as ArrayRecord files, which MOLE then reads without TensorFlow.
"""

from __future__ import annotations

import argparse
import importlib.util
import pathlib
import sys
from collections.abc import Sequence

# So that it runs from a checkout, in any current folder.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from mole_jax.core.errors import UserError
from mole_jax.core.program import command
from mole_jax.core.storage.paths import user_path
from mole_jax.tasks.sources import tfds as source

HELP = """\
Prepare an image data set of TensorFlow Datasets (TFDS), once, so that MOLE can read it.

usage
  python launch/prepare_data.py NAME [--data_dir=DIR]

  NAME            mnist, fashion_mnist, cifar10, svhn, or any TFDS data set with the features image
                  and label, also as NAME/CONFIG: see tensorflow.org/datasets/catalog
  --data_dir=DIR  where it is kept; TFDS_DATA_DIR when left out, or else ~/tensorflow_datasets
  --help          this page

Needs the internet and TensorFlow, though nothing else does; the latter is best kept apart:
  python -m venv .venv-prepare
  .venv-prepare/bin/pip install -r requirements-prepare.txt
  .venv-prepare/bin/python launch/prepare_data.py NAME
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 2 for a user's error, 130 for Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return command.explained(lambda: print(run(arguments)), "; the same command starts again")


def run(arguments: Sequence[str]) -> str:
    """Do what the command line says; return a message for the user.

    Raises:
        UserError: for wrong arguments, a missing TensorFlow, and what `prepare` raises.
    """
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--data_dir", type=user_path)
    parser.add_argument("--help", action="store_true")
    try:
        options, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(f"{error} (--help shows the usage)") from error
    if options.help:
        return HELP.rstrip()
    if unknown or not options.name:
        problem = f"{unknown[0]} is unknown" if unknown else "NAME is missing"
        raise UserError(f"{problem}: python launch/prepare_data.py NAME [--data_dir=DIR]")

    name = source.SHORT_NAMES.get(options.name, options.name)
    folder = options.data_dir or source.default_folder()
    place = "" if folder == source.default_folder() else f"@{folder.resolve()}"
    use = f"use it with --config.data.source=tfds:{name}{place}"
    if there := source.find(name, folder):
        return f"{name} is there already, in {there.data_path}; {use}"
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            "TensorFlow is missing, which encodes the images; run: "
            f"{sys.executable} -m pip install -r requirements-prepare.txt"
        )
    return f"{name} is in {prepare(name, folder)}; {use}"


def prepare(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Download a data set that TFDS knows and store it as ArrayRecord; return its folder.

    Raises:
        UserError: when it has no labelled images, or cannot be fetched.
    """
    import requests
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    try:
        builder = tfds.builder(name, data_dir=str(folder), file_format=source.FILE_FORMAT)
    except (ValueError, AssertionError) as error:  # a config or version that does not exist
        raise UserError(f"TFDS cannot make {name} ({_line(error)})") from error
    source.require_labelled_images(name, builder.info.features)
    try:
        # Google's bucket of prepared data sets has other files than ArrayRecord.
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    except (requests.RequestException, DownloadError, NonMatchingChecksumError) as error:
        raise UserError(
            f"{name} could not be downloaded ({_line(error)}); try again with a "
            "connection to the internet, or later"
        ) from error
    except (OSError, AssertionError) as error:  # no space, no write access; manual downloads
        raise UserError(f"{name} could not be prepared in {folder} ({_line(error)})") from error
    return pathlib.Path(builder.data_path)


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


if __name__ == "__main__":
    command.leave(main())
