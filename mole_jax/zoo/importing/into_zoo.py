"""Foreign runs of any form become a zoo: flags, checks, the schema, the loop."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mole_jax.core.console.progress import Progress
from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import write_json
from mole_jax.core.storage.provenance import environment
from mole_jax.tasks.networks import shorthand
from mole_jax.tasks.networks.shorthand import Described
from mole_jax.tasks.networks.torch_layout import layout
from mole_jax.tasks.subsets import DataSubset
from mole_jax.zoo.importing import ingest
from mole_jax.zoo.importing.foreign import DataSet, StoredHistory, StoredRun, UnusableRunError
from mole_jax.zoo.importing.ingest import Incoming, Skip
from mole_jax.zoo.storage.manifest import FILE
from mole_jax.zoo.storage.reader import open_zoo
from mole_jax.zoo.storage.schema import IMPORT, IMPORT_FINISHED, RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter

DETAILS = "hyperparameters.json"  # in the zoo: all that the source says of each run's training
_TRIED = 8  # failing runs after which the network is blamed rather than the run


@dataclasses.dataclass(frozen=True)
class Options:
    """How a data set becomes a zoo."""

    network: str  # see `shorthand.parse`
    metric: str = ""  # the prompt metric; "" for the first of the form's that is present
    held_out_runs: int = 0  # the last ones are split S0
    max_weight: float = math.inf
    image_side: int = shorthand.IMAGE_SIDE
    strict: bool = False


Own = TypeVar("Own", bound=Options)


@dataclasses.dataclass(frozen=True)
class Form:
    """What one form of data sets adds to the import of its runs."""

    name: str  # in the zoo's config
    prompt_metrics: tuple[str, ...]  # the first one present is the default
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)  # for the zoo's config


def add_arguments(
    parser: argparse.ArgumentParser, default: Options, prompt_metrics: tuple[str, ...]
) -> None:
    """Add the flags of every form, but for the source and --out."""
    text = f"the network of its runs: {shorthand.usage()}"
    parser.add_argument("--network", required=True, help=text)
    text = "the prompt metric (default: the first one present of " + ", ".join(prompt_metrics)
    parser.add_argument("--metric", default="", help=f"{text})")
    text = "the last N runs are held out, split S0 (default: 0)"
    parser.add_argument("--held-out-runs", type=int, default=0, metavar="N", help=text)
    limit = f"{default.max_weight:g}" if math.isfinite(default.max_weight) else "no limit"
    text = f"leave out runs with any weight beyond +-W (default: {limit})"
    parser.add_argument(
        "--max-weight", type=float, default=default.max_weight, metavar="W", help=text
    )
    text = f"side of a cnn's images, in pixels (default: {default.image_side})"
    parser.add_argument(
        "--image-side", type=int, default=default.image_side, metavar="N", help=text
    )
    text = "stop at the first run that cannot be used"
    parser.add_argument("--strict", action="store_true", help=text)


def of_flags(kind: type[Own], flags: argparse.Namespace) -> Own:
    """Return a form's own options, from flags of the same names."""
    return kind(**{field.name: getattr(flags, field.name) for field in dataclasses.fields(kind)})


def report(out: Path, skips: Sequence[Skip]) -> None:
    """Print how many runs came in, and which did not."""
    for line in ingest.counted(skips):
        print(line, file=sys.stderr)
    print(f"{out}: {open_zoo(out).n_runs} runs, {len(skips)} left out")


def check(options: Options) -> Described:
    """Return the network that is asked for; raise UserError for invalid options."""
    if not options.max_weight > 0 or options.held_out_runs < 0:
        raise UserError(
            f"--max-weight={options.max_weight:g} must be above 0, --held-out-runs="
            f"{options.held_out_runs} 0 or more"
        )
    return shorthand.parse(options.network, options.image_side)


def import_runs(
    data: DataSet,
    form: Form,
    described: Described,
    read: Callable[[int], StoredHistory],
    out: Path,
    options: Options,
) -> list[Skip]:
    """Make a zoo from a data set, run by run, resuming an interrupted import.

    Args:
        data: its runs.
        form: what they are stored as.
        described: the network.
        read: gives the run at a position; raises UnusableRunError where it cannot be used.
        out: the zoo.
        options: which `check` has accepted.

    Returns:
        The runs left out; also kept in ZOO/skipped.json.

    Raises:
        UserError: for a network of another size than the runs; when no run can be used; with
            `strict` for the first run that cannot; when ZOO holds another zoo.
    """
    source = data.path
    if options.strict:
        _refuse_first(data)
    if options.held_out_runs >= len(data.usable):
        raise UserError(
            f"--held-out-runs={options.held_out_runs} leaves nothing to train on: {source} has "
            f"{len(data.usable)} runs that can be used"
        )
    schema = make_schema(data, form, described, options)
    _check_network(data, read, described, options.network)
    if not (out / FILE).exists():
        ZooWriter.create(out, schema)
    writer = ZooWriter.open(out, schema)
    if data.details:
        names = [run.name for run in data.runs]
        write_json(out / DETAILS, {"runs": dict(zip(names, data.details, strict=True))})
    held_out = set(data.usable[len(data.usable) - options.held_out_runs :])

    def batch(position: int, run: StoredRun) -> RunBatch | str:
        try:
            if run.problem is not None:
                raise UnusableRunError(run.problem)
            history = read(position)
            _check_numbers(history, options.max_weight)
        except UnusableRunError as error:
            if options.strict:
                raise UserError(_refusal(source, run, str(error))) from error
            return str(error)
        return _batch(history, data, position, "S0" if position in held_out else "train")

    runs = Incoming(data.runs, lambda run: run.name, batch)
    first = int(open_zoo(out).runs["member"].max(initial=-1)) + 1  # a run's position
    skipped = len([skip for skip in ingest.read_skips(out) if skip.position < first])
    with Progress("import", total=len(data.runs), unit="runs", initial=first) as bar:

        def done(n: int, skips: list[Skip]) -> None:
            nonlocal skipped
            skipped += len(skips)
            bar.update(n, left_out=skipped)

        skips = ingest.ingest_runs(runs, writer, first, done)
    if writer.n_runs == 0:
        raise UserError(
            f"{source}: none of its {len(data.runs)} runs can be used; {skips[0]}; fix the runs"
        )
    if IMPORT_FINISHED not in writer.schema.provenance:
        date = datetime.now(UTC).isoformat(timespec="seconds")
        writer.note(IMPORT_FINISHED, {"date": date, "runs": writer.n_runs, "left_out": len(skips)})
    return skips


def make_schema(data: DataSet, form: Form, described: Described, options: Options) -> ZooSchema:
    """Return the schema of a data set's zoo."""
    network = described.network
    name = data.path.resolve().name
    increasing = data.iterations is not None and bool((np.diff(data.iterations) > 0).all())
    task = DataSubset(
        id=name, classes=tuple(range(network.n_outputs)) if network.classifies else (),
        split="train",
    )  # fmt: skip
    facts = {
        "format": form.name,
        "network": options.network,
        "held_out_runs": options.held_out_runs,
        **({"max_weight": options.max_weight} if math.isfinite(options.max_weight) else {}),
        **form.facts,
    }
    return ZooSchema(
        name=f"{name}-{network.name}",
        spec=network.spec,
        network=described.to_json(),
        steps=data.iterations if data.iterations and increasing else tuple(range(data.n_snapshots)),
        metrics=data.metrics,
        tasks=(task,),
        splits={"train": [task.id], "S1": []},
        config={IMPORT: facts},
        provenance={**environment(), "source": str(data.path.resolve())},
        runs_per_shard=ingest.runs_per_shard(
            ingest.run_bytes(data.n_snapshots, network.spec.size, "float32")
        ),
        runs_per_chunk=1,  # a zoo of this size is streamed: see docs/zoo.md
        prompt_metric=_prompt_metric(data, options.metric, form.prompt_metrics),
        metric_dtype="float64",  # as JSON has them
        snapshot_fields=data.fields,
        run_names=tuple(run.name for run in data.runs),
        hyperparameters=data.hyperparameters,
    )


def _check_numbers(history: StoredHistory, max_weight: float) -> None:
    # The largest is NaN or infinite where any number is.
    largest = np.abs(history.parameters).max(axis=1)  # [S]
    bad = np.flatnonzero(~np.isfinite(largest) | (largest > max_weight))
    if bad.size:
        value, snapshot = float(largest[bad[0]]), history.snapshots[int(bad[0])]
        what = f"a weight of {value:.4g}, beyond +-{max_weight:g}"
        what = what if np.isfinite(value) else "NaN or infinity"
        raise UnusableRunError(f"has {what} in {snapshot}")
    for name, values in history.metrics.items():
        if not np.isfinite(values).all():
            raise UnusableRunError(f"has a {name} that is not finite")


def _batch(history: StoredHistory, data: DataSet, position: int, split: str) -> RunBatch:
    return RunBatch(
        parameters=history.parameters[None],
        metrics={name: np.asarray(history.metrics[name])[None] for name in data.metrics},
        subset=[0],
        split=[split],
        member=[position],
        seed=[0],  # unknown
        finite=[True],
        hyperparameters={name: [history.hyperparameters[name]] for name in data.hyperparameters},
        snapshots={name: np.asarray(history.fields[name])[None] for name in data.fields},
    )


def _prompt_metric(data: DataSet, asked: str, usual: tuple[str, ...]) -> str:
    names = ", ".join(data.metrics) or "none"
    if asked:
        if asked not in data.metrics:
            raise UserError(f"--metric={asked}: the runs of {data.path} have the metrics {names}")
        return asked
    for name in (*usual, *(data.metrics if len(data.metrics) == 1 else ())):
        if name in data.metrics:
            return name
    raise UserError(
        f"the runs of {data.path} have the metrics {names}; say with --metric which one is the "
        "prompt metric"
    )


def _check_network(
    data: DataSet, read: Callable[[int], StoredHistory], described: Described, network: str
) -> None:
    """Raise UserError if none of the first runs has the network's tensors."""
    first = None
    for position in data.usable[:_TRIED]:
        try:
            read(position)
            return
        except UnusableRunError as error:
            first = first or f"{data.runs[position].name} {error}"
    sizes = ", ".join(map(str, layout(described.network).sizes))
    raise UserError(
        f"{data.path} does not hold networks {network}, which are tensors of {sizes} numbers: "
        f"{first}; give the --network of its runs, or fix them"
    )


def _refuse_first(data: DataSet) -> None:
    for run in data.runs:
        if run.problem is not None:
            raise UserError(_refusal(data.path, run, run.problem))


def _refusal(source: Path, run: StoredRun, problem: str) -> str:
    return f"{source}: the run {run.name} {problem}; fix it, or leave out --strict"
