"""G.pt's data sets as zoos: `python -m mole_jax.zoo import-gpt DIR --network=NETWORK --out ZOO`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.paths import user_path
from mole_jax.core.progress import Progress
from mole_jax.core.provenance import environment
from mole_jax.tasks.networks import shorthand
from mole_jax.tasks.networks.shorthand import Described
from mole_jax.tasks.networks.torch_layout import TorchLayout, layout
from mole_jax.tasks.subsets import DataSubset
from mole_jax.zoo import intake, lmdb_runs
from mole_jax.zoo.intake import Intake, Skip
from mole_jax.zoo.lmdb_runs import (
    EPOCH,
    ITERATION,
    DataSet,
    RunReader,
    StoredRun,
    UnusableRunError,
)
from mole_jax.zoo.manifest import FILE
from mole_jax.zoo.reader import open_zoo
from mole_jax.zoo.schema import IMPORT, IMPORT_FINISHED, RunBatch, ZooSchema
from mole_jax.zoo.store import ZooWriter

FORMAT = "gpt-lmdb"
MAX_WEIGHT = 10.0  # G.pt drops runs with any larger weight
# The first of these that a data set has is what prompts speak of.
PROMPT_METRICS = ("avg_test_loss", "test_loss", "train_ret")
_TRIED = 8  # runs, before the network is blamed rather than the run


@dataclasses.dataclass(frozen=True)
class Options:
    """How a data set becomes a zoo."""

    network: str  # see `shorthand.parse`
    metric: str = ""  # of prompts; "" for the first of PROMPT_METRICS
    held_out_runs: int = 0  # the last ones are split S0
    max_weight: float = MAX_WEIGHT
    image_side: int = shorthand.IMAGE_SIDE
    unfinished: bool = False
    strict: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    default = Options("")
    parser.add_argument(
        "source", type=user_path, metavar="DIR", help="the data set: one folder a run, or fused"
    )
    parser.add_argument(
        "--network", required=True, help=f"what it holds: {', '.join(shorthand.KINDS.values())}"
    )
    parser.add_argument(
        "--out", type=user_path, required=True, metavar="ZOO", help="the zoo's folder"
    )
    text = "what prompts speak of (default: the first there is of " + ", ".join(PROMPT_METRICS)
    parser.add_argument("--metric", default="", help=f"{text})")
    text = "the last N runs are held out, split S0 (default: 0)"
    parser.add_argument("--held-out-runs", type=int, default=0, metavar="N", help=text)
    text = f"leave out runs with any weight beyond +-W (default: {default.max_weight:g})"
    parser.add_argument("--max-weight", type=float, default=MAX_WEIGHT, metavar="W", help=text)
    text = f"of a cnn's images, in pixels (default: {default.image_side})"
    parser.add_argument(
        "--image-side", type=int, default=default.image_side, metavar="N", help=text
    )
    parser.add_argument("--unfinished", action="store_true", help="take runs without DONE.txt, too")
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first run that cannot be used"
    )


def run(flags: argparse.Namespace) -> int:
    """Runs the command."""
    names = [field.name for field in dataclasses.fields(Options)]
    options = Options(**{name: getattr(flags, name) for name in names})
    skips = import_gpt(flags.source, flags.out, options)
    for line in intake.counted(skips):
        print(line, file=sys.stderr)
    print(f"{flags.out}: {open_zoo(flags.out).n_runs} runs, {len(skips)} left out")
    return 0


def import_gpt(source: str | Path, out: str | Path, options: Options) -> list[Skip]:
    """Makes the zoo of a checkpoint data set, run by run; a broken-off import goes on.

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
    if not options.max_weight > 0 or options.held_out_runs < 0:
        raise UserError(
            f"--max-weight={options.max_weight:g} must be above 0, --held-out-runs="
            f"{options.held_out_runs} 0 or more"
        )
    described = shorthand.parse(options.network, options.image_side)
    torch = layout(described.network)
    data = lmdb_runs.scan(source, unfinished=options.unfinished, progress=Progress)
    if options.strict:
        _refuse_first(source, data)
    if options.held_out_runs >= len(data.usable):
        raise UserError(
            f"--held-out-runs={options.held_out_runs} leaves nothing to train on: {source} has "
            f"{len(data.usable)} runs that can be used"
        )
    schema = make_schema(source, data, described, options)
    with RunReader(data, torch.sizes) as reader:
        _check_network(source, data, reader, options.network, torch)
        if not (out / FILE).exists():
            ZooWriter.create(out, schema)
        writer = ZooWriter.open(out, schema)
        held_out = set(data.usable[len(data.usable) - options.held_out_runs :])

        def read(position: int, run: StoredRun) -> RunBatch | str:
            try:
                return _read(position, run, reader, torch, data, options, position in held_out)
            except UnusableRunError as error:
                if options.strict:
                    raise UserError(_refusal(source, run, str(error))) from error
                return str(error)

        runs = Intake(data.runs, lambda run: run.name, read)
        first = int(open_zoo(out).runs["member"].max(initial=-1)) + 1  # a run's position
        skipped = len([skip for skip in intake.read_skips(out) if skip.position < first])
        with Progress("import", total=len(data.runs), unit="runs", initial=first) as bar:

            def done(n: int, skips: list[Skip]) -> None:
                nonlocal skipped
                skipped += len(skips)
                bar.update(n, left_out=skipped)

            skips = intake.take_in(runs, writer, first, done)
    if writer.n_runs == 0:
        raise UserError(
            f"{source}: none of its {len(data.runs)} runs can be used; {skips[0]}; mend the runs"
        )
    if IMPORT_FINISHED not in writer.schema.provenance:
        date = datetime.now(UTC).isoformat(timespec="seconds")
        writer.note(IMPORT_FINISHED, {"date": date, "runs": writer.n_runs, "left_out": len(skips)})
    return skips


def make_schema(source: Path, data: DataSet, described: Described, options: Options) -> ZooSchema:
    """What the zoo of a data set holds."""
    network = described.network
    n_snapshots = data.n_snapshots
    name = source.resolve().name
    increasing = data.iterations is not None and bool((np.diff(data.iterations) > 0).all())
    task = DataSubset(
        id=name, classes=tuple(range(network.n_outputs)) if network.classifies else (),
        split="train",
    )  # fmt: skip
    settings = {
        "format": FORMAT,
        "network": options.network,
        "held_out_runs": options.held_out_runs,
        "max_weight": options.max_weight,
        "unfinished": options.unfinished,
    }
    return ZooSchema(
        name=f"{name}-{network.name}",
        spec=network.spec,
        network=described.to_json(),
        steps=data.iterations if data.iterations and increasing else tuple(range(n_snapshots)),
        metrics=data.metrics,
        tasks=(task,),
        splits={"train": [task.id], "S1": []},
        config={IMPORT: settings},
        provenance={**environment(), "source": str(source.resolve())},
        runs_per_shard=intake.runs_per_shard(
            intake.run_bytes(n_snapshots, network.spec.size, "float32")
        ),
        runs_per_chunk=1,  # a zoo of this size is streamed: see docs/zoo.md
        prompt_metric=_prompt_metric(source, data, options.metric),
        metric_dtype="float64",  # as JSON has them
        snapshot_fields=(EPOCH, ITERATION) if data.has_epochs else (ITERATION,),
        run_names=tuple(run.name for run in data.runs),
        hyperparameters=(),
    )


def _read(
    position: int,
    run: StoredRun,
    reader: RunReader,
    torch: TorchLayout,
    data: DataSet,
    options: Options,
    held_out: bool,
) -> RunBatch:
    if run.problem is not None:
        raise UnusableRunError(run.problem)
    stored = reader.parameters(run)  # [S, D] in PyTorch's order
    history = reader.history(run)
    # The largest is NaN or infinite where any number is.
    largest = np.abs(stored).max(axis=1)  # [S]
    bad = np.flatnonzero(~(largest <= options.max_weight))
    if bad.size:
        value, key = float(largest[bad[0]]), history[bad[0]].key
        what = f"a weight of {value:.4g}, beyond +-{options.max_weight:g}"
        raise UnusableRunError(f"has {what if np.isfinite(value) else 'NaN or infinity'} in {key}")
    snapshots = {ITERATION: np.array([[checkpoint.iteration for checkpoint in history]])}
    if data.has_epochs:
        snapshots[EPOCH] = np.array([[checkpoint.epoch for checkpoint in history]])
    return RunBatch(
        parameters=torch.from_torch(stored)[None],
        metrics={
            name: np.array([[checkpoint.metrics[name] for checkpoint in history]])
            for name in data.metrics
        },
        subset=[0],
        split=["S0" if held_out else "train"],
        member=[position],
        seed=[0],  # nobody knows it
        finite=[True],
        hyperparameters={},
        snapshots=snapshots,
    )


def _prompt_metric(source: Path, data: DataSet, asked: str) -> str:
    names = ", ".join(data.metrics) or "none"
    if asked:
        if asked not in data.metrics:
            raise UserError(f"--metric={asked}: the runs of {source} have the metrics {names}")
        return asked
    for name in (*PROMPT_METRICS, *(data.metrics if len(data.metrics) == 1 else ())):
        if name in data.metrics:
            return name
    raise UserError(
        f"the runs of {source} have the metrics {names}; say with --metric which one prompts "
        "speak of"
    )


def _check_network(
    source: Path, data: DataSet, reader: RunReader, network: str, torch: TorchLayout
) -> None:
    """Raises UserError when none of the first runs has the network's sizes."""
    first = None
    for position in data.usable[:_TRIED]:
        try:
            reader.parameters(data.runs[position])
            return
        except UnusableRunError as error:
            first = first or f"{data.runs[position].name} {error}"
    sizes = ", ".join(map(str, torch.sizes))
    raise UserError(
        f"{source} does not hold networks {network}, which are tensors of {sizes} numbers: "
        f"{first}; give the --network of its runs, or mend them"
    )


def _refuse_first(source: Path, data: DataSet) -> None:
    for run in data.runs:
        if run.problem is not None:
            raise UserError(_refusal(source, run, run.problem))


def _refusal(source: Path, run: StoredRun, problem: str) -> str:
    return f"{source}: the run {run.name} {problem}; mend it, or leave out --strict"
