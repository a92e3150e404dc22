"""Zoos as safetensors: one file per run, with PyTorch's names and layouts, and a card in JSON.

DIR/card.json                the zoo's schema, how many runs, how the module computes
DIR/runs/000000.safetensors  the state_dict's tensors [S, *shape], metrics/NAME [S] and
                             snapshots/NAME [S]; its row in the table of runs, as metadata
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.numpy

import mole_jax
from mole_jax.core.console.progress import Progress
from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import read_json, to_json, write_bytes, write_json
from mole_jax.core.storage.paths import user_path
from mole_jax.core.storage.tensors import read_tensors
from mole_jax.interop.network_files import SUFFIX, forward
from mole_jax.tasks import networks
from mole_jax.tasks.networks.torch_layout import TorchLayout, layout
from mole_jax.zoo.importing import ingest
from mole_jax.zoo.importing.ingest import Incoming, Skip
from mole_jax.zoo.storage.manifest import FILE
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema, batch_columns
from mole_jax.zoo.storage.store import ZooWriter

FORMAT, VERSION = "mole-zoo-safetensors", 1
CARD, RUNS = "card.json", "runs"
METRICS, SNAPSHOTS, RUN = "metrics/", "snapshots/", "run"


def export_zoo(path: str | Path, out: str | Path) -> int:
    """Write every run of a zoo as a file of its own, resuming an interrupted export.

    Numbers keep their bits; those of 16 bits become float32, which holds them exactly.

    Returns:
        How many runs there are.

    Raises:
        UserError: for a network without a layout in PyTorch; when DIR holds something else.
    """
    out = user_path(out)
    zoo = open_zoo(path)
    network = networks.from_json(zoo.schema.network)
    torch = layout(network)
    card = {
        "format": FORMAT,
        "version": VERSION,
        "runs": zoo.n_runs,
        "created": zoo.created,
        "forward": forward(network, zoo.schema.network),
        "state_dict": {tensor.name: list(tensor.shape) for tensor in torch.tensors},
        "zoo": zoo.schema.to_json(),
        "mole": mole_jax.__version__,
    }
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not (out / CARD).is_file() or read_json(out / CARD) != json.loads(to_json(card)):
            raise UserError(f"{out} is not empty; give another --out")
    else:
        write_json(out / CARD, card)
    left = [run for run in range(zoo.n_runs) if not run_file(out, run).exists()]
    done = zoo.n_runs - len(left)
    with Progress("export", total=zoo.n_runs, unit="runs", initial=done) as bar:
        for run in left:
            write_bytes(run_file(out, run), _written(zoo, torch, run))
            bar.update(1)
    return zoo.n_runs


def import_zoo(path: str | Path, out: str | Path) -> int:
    """Make a zoo of what `export_zoo` has written, resuming an interrupted import.

    Returns:
        How many runs there are.

    Raises:
        UserError: for missing or damaged files; when ZOO holds another zoo.
    """
    path, out = user_path(path), user_path(out)
    schema, n_runs = _read_card(path)
    missing = next((run for run in range(n_runs) if not run_file(path, run).is_file()), None)
    if missing is not None:
        raise UserError(
            f"{path} is not whole: {run_file(path, missing)} is missing, one of {n_runs} runs; "
            "export the zoo again"
        )
    torch = layout(networks.from_json(schema.network))
    if torch.network.spec != schema.spec:
        raise UserError(f"{path / CARD} contradicts itself: its network has other parameters")
    if not (out / FILE).exists():
        ZooWriter.create(out, schema)
    writer = ZooWriter.open(out, schema)

    def read(_: int, file: Path) -> RunBatch:
        return _read_run(file, schema, torch)

    files = [run_file(path, run) for run in range(n_runs)]
    with Progress("import", total=n_runs, unit="runs", initial=writer.n_runs) as bar:

        def done(n: int, _: list[Skip]) -> None:
            bar.update(n)

        ingest.ingest_runs(Incoming(files, str, read), writer, writer.n_runs, done)
    return writer.n_runs


def run_file(folder: Path, run: int) -> Path:
    """Return the file of a run, by its row in the zoo."""
    return folder / RUNS / f"{run:06d}{SUFFIX}"


def _written(zoo: Zoo, torch: TorchLayout, run: int) -> bytes:
    tensors = torch.state_dict(zoo.parameters([run])[0])  # [S, *shape]
    tensors |= {METRICS + name: zoo.metric(name, [run])[0] for name in zoo.schema.metrics}
    for name in zoo.schema.snapshot_fields:
        tensors[SNAPSHOTS + name] = zoo.snapshot_field(name, [run])[0]
    row = {name: values[run].item() for name, values in zoo.runs.items()}
    row["name"] = zoo.names([run])[0]
    return safetensors.numpy.save(tensors, metadata={"format": "pt", RUN: to_json(row)})


def _read_card(path: Path) -> tuple[ZooSchema, int]:
    file = path / CARD
    if not file.is_file():
        raise UserError(f"{path} is not an exported zoo: it has no {CARD}; check the path")
    card = read_json(file)
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise UserError(f'{file} is not a card of a zoo: it does not say "format": "{FORMAT}"')
    if card.get("version") != VERSION:
        raise UserError(
            f"{file} is of version {card.get('version')}, but this MOLE reads {VERSION}"
        )
    try:
        return ZooSchema.from_json(card["zoo"]), int(card["runs"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{file} is damaged: {error!r}; export the zoo again") from error


def _read_run(file: Path, schema: ZooSchema, torch: TorchLayout) -> RunBatch:
    tensors, metadata = read_tensors(file)

    def taken(prefix: str) -> dict[str, Any]:
        names = [name for name in tensors if name.startswith(prefix)]
        return {name.removeprefix(prefix): tensors.pop(name)[None] for name in names}

    metrics, snapshots = taken(METRICS), taken(SNAPSHOTS)
    # Runs that are not finite are kept and marked; `batch_columns` checks that the others are.
    flat = torch.from_state_dict(tensors, str(file), schema.dtype, finite=False)  # [S, D]
    try:
        row = json.loads(metadata[RUN])
        batch = RunBatch(
            parameters=flat[None],
            metrics=metrics,
            snapshots=snapshots,
            subset=[row["subset"]],
            split=[row["split"]],
            member=[row["member"]],
            seed=[row["seed"]],
            finite=[row["finite"]],
            hyperparameters={name: [row[name]] for name in schema.hyperparameters},
        )
        batch_columns(schema, batch)  # here, so that an error names this file
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged: {error}; export the zoo again") from error
    return batch
