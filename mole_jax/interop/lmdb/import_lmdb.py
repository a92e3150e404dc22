"""G.pt's data sets as zoos: `python -m mole_jax.zoo import-gpt DIR --network=NETWORK --out ZOO`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from mole_jax.core.console.progress import Progress
from mole_jax.core.storage.paths import user_path
from mole_jax.interop.lmdb import lmdb_runs
from mole_jax.interop.lmdb.lmdb_runs import RunReader
from mole_jax.tasks.networks.torch_layout import layout
from mole_jax.zoo.importing import into_zoo
from mole_jax.zoo.importing.foreign import EPOCH, ITERATION, StoredHistory
from mole_jax.zoo.importing.ingest import Skip
from mole_jax.zoo.importing.into_zoo import Form

FORMAT = "gpt-lmdb"
MAX_WEIGHT = 10.0  # G.pt drops runs with any larger weight
PROMPT_METRICS = ("avg_test_loss", "test_loss", "train_ret")


@dataclasses.dataclass(frozen=True)
class LmdbOptions(into_zoo.Options):
    """How a data set becomes a zoo."""

    max_weight: float = MAX_WEIGHT
    unfinished: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "source", type=user_path, metavar="DIR", help="the data set: one folder per run, or fused"
    )
    into_zoo.add_arguments(parser, LmdbOptions(""), PROMPT_METRICS)
    parser.add_argument(
        "--out", type=user_path, required=True, metavar="ZOO", help="the zoo's folder"
    )
    parser.add_argument("--unfinished", action="store_true", help="take runs without DONE.txt, too")


def run(flags: argparse.Namespace) -> int:
    """Run the command."""
    options = into_zoo.of_flags(LmdbOptions, flags)
    into_zoo.report(flags.out, import_gpt(flags.source, flags.out, options))
    return 0


def import_gpt(source: str | Path, out: str | Path, options: LmdbOptions) -> list[Skip]:
    """Make the zoo of a checkpoint data set, run by run, resuming an interrupted import.

    Parameters keep their bits. A run is left out, and counted, when it is not finished, lacks
    checkpoints or has other metrics than most, is damaged or of a wrong size, or has a number that
    is not finite or a weight beyond +-`max_weight`.

    Returns:
        The runs left out; also kept in ZOO/skipped.json.

    Raises:
        UserError: for an unknown network, or one of another size than the runs; when no run can be
            used; with `strict` for the first run that cannot; when ZOO holds another zoo.
    """
    source, out = user_path(source), user_path(out)
    described = into_zoo.check(options)
    torch = layout(described.network)
    data = lmdb_runs.scan(source, unfinished=options.unfinished, progress=Progress)
    form = Form(FORMAT, PROMPT_METRICS, {"unfinished": options.unfinished})
    with RunReader(data, torch.sizes) as reader:

        def read(position: int) -> StoredHistory:
            run = data.runs[position]
            stored = reader.parameters(run)  # [S, D] in PyTorch's order
            history = reader.history(run)
            fields = {ITERATION: np.array([checkpoint.iteration for checkpoint in history])}
            if EPOCH in data.fields:
                fields[EPOCH] = np.array([checkpoint.epoch for checkpoint in history])
            metrics = {
                name: np.array([checkpoint.metrics[name] for checkpoint in history])
                for name in data.metrics
            }
            keys = [checkpoint.key for checkpoint in history]
            return StoredHistory(torch.from_torch(stored), keys, metrics, fields)

        return into_zoo.import_runs(data, form, described, read, out, options)
