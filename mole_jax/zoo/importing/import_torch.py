"""Zoos of state_dicts: `python -m mole_jax.zoo import-torch DIR --network=NETWORK --out ZOO`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

from mole_jax.core.console.progress import Progress
from mole_jax.core.errors import UserError
from mole_jax.core.storage.paths import user_path
from mole_jax.tasks.networks.torch_layout import layout
from mole_jax.zoo.importing import checkpoint_runs, into_zoo, matrix_runs
from mole_jax.zoo.importing.foreign import DataSet, StoredHistory, check_folder
from mole_jax.zoo.importing.ingest import Skip
from mole_jax.zoo.importing.into_zoo import Form

PROMPT_METRICS = ("validation_loss", "val_loss", "test_loss", "avg_test_loss")


@dataclasses.dataclass(frozen=True)
class TorchOptions(into_zoo.Options):
    """How a data set becomes a zoo."""

    limit: int = 0  # runs; 0 for all
    run_column: str = ""  # names the runs, in a matrix's table
    step_column: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    text = "folders RUN/checkpoint_N with RUN/result.json, or weights.npy with metrics.csv.gz"
    parser.add_argument("source", type=user_path, metavar="DIR", help=text)
    into_zoo.add_arguments(parser, TorchOptions(""), PROMPT_METRICS)
    parser.add_argument(
        "--out", type=user_path, required=True, metavar="ZOO", help="the zoo's folder"
    )
    text = "take the first N runs only (default: all)"
    parser.add_argument("--limit", type=int, default=0, metavar="N", help=text)
    text = "the column of metrics.csv with the {} (default: the first one present of {})"
    runs, steps = (", ".join(x) for x in (matrix_runs.RUN_COLUMNS, matrix_runs.STEP_COLUMNS))
    parser.add_argument("--run-column", default="", metavar="NAME", help=text.format("run", runs))
    parser.add_argument(
        "--step-column", default="", metavar="NAME", help=text.format("step", steps)
    )


def run(flags: argparse.Namespace) -> int:
    """Run the command."""
    options = into_zoo.of_flags(TorchOptions, flags)
    into_zoo.report(flags.out, import_torch(flags.source, flags.out, options))
    return 0


def import_torch(source: str | Path, out: str | Path, options: TorchOptions) -> list[Skip]:
    """Make a zoo from a model zoo of state_dicts, run by run, resuming an interrupted import.

    Float32 weights keep their bits, and no code that a checkpoint names is run. A run is left out,
    and counted, when a file of it cannot be read or is not the network's, when it has another
    number of snapshots than most, and when a weight, or a metric that most runs have, is not
    finite.

    Returns:
        The runs left out; also kept in ZOO/skipped.json.

    Raises:
        UserError: for an unknown network, or one of another shape than the runs; when no run can be
            used; with `strict` for the first run that cannot; when ZOO holds another zoo.
    """
    source, out = user_path(source), user_path(out)
    described = into_zoo.check(options)
    if options.limit < 0:
        raise UserError(f"--limit={options.limit} must be 0 or more")
    check_folder(source)
    torch = layout(described.network)
    # Networks of the shorthand that name no activation have ReLU.
    activation = str(described.config.get("activation", "relu"))
    read: Callable[[int], StoredHistory]
    data: DataSet
    facts = {"limit": options.limit} if options.limit else {}
    if (source / matrix_runs.WEIGHTS).is_file():
        matrix = matrix_runs.open_matrix(
            source,
            torch,
            activation,
            wanted=options.metric,
            limit=options.limit,
            run_column=options.run_column,
            step_column=options.step_column,
        )
        form, data, read = Form("matrix", PROMPT_METRICS, facts), matrix.data, matrix.read
    else:
        data = checkpoint_runs.scan(
            source, activation, wanted=options.metric, limit=options.limit, progress=Progress
        )
        form = Form("torch-checkpoints", PROMPT_METRICS, facts)

        def read(position: int) -> StoredHistory:
            return checkpoint_runs.read(data, position, torch)

    for note in data.notes:
        print(note, file=sys.stderr)
    return into_zoo.import_runs(data, form, described, read, out, options)
