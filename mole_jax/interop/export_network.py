"""`python -m mole_jax.interop export-network`: a snapshot of a zoo as safetensors."""

from __future__ import annotations

import argparse

from mole_jax.core.errors import UserError
from mole_jax.core.storage.paths import user_path
from mole_jax.interop.network_files import save_network
from mole_jax.tasks import networks
from mole_jax.tasks.networks import fewer_outputs
from mole_jax.zoo.storage.reader import open_zoo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("zoo", type=user_path, metavar="ZOO", help="the zoo's folder")
    text = "row of the zoo, or the name of an imported run"
    parser.add_argument("--run", dest="row", required=True, metavar="RUN", help=text)
    text = "position in the run; -1: the last (default)"
    parser.add_argument("--snapshot", type=int, default=-1, metavar="N", help=text)
    text = "NAME.safetensors; its card is NAME.json"
    parser.add_argument("--out", type=user_path, required=True, metavar="FILE", help=text)


def run(flags: argparse.Namespace) -> None:
    """Run the command."""
    export_network(flags.zoo, flags.row, flags.snapshot, flags.out)
    print(flags.out)


def export_network(path: str, run: str, snapshot: int, out: str) -> None:
    """Write one snapshot of a zoo with its card.

    Args:
        path: the zoo.
        run: a row, or the name that an imported run had.
        snapshot: position in the run; may count from the end.
        out: ends in .safetensors.

    Raises:
        UserError: when there is no such run or snapshot.
    """
    zoo = open_zoo(path)
    names = zoo.names() if zoo.schema.run_names else []
    row = names.index(run) if run in names else int(run) if run.isdecimal() else -1
    if not 0 <= row < zoo.n_runs:
        raise UserError(f"--run={run}: the zoo at {path} has the runs 0..{zoo.n_runs - 1}")
    count = len(zoo.steps)
    if not -count <= snapshot < count:
        raise UserError(f"--snapshot={snapshot}: a run of {path} has the snapshots 0..{count - 1}")
    position = snapshot % count
    task = zoo.schema.tasks[int(zoo.runs["subset"][row])]
    source = {
        "zoo": zoo.schema.name,
        "created": zoo.created,
        "run": row,
        "name": zoo.names([row])[0],
        "split": str(zoo.runs["split"][row]),
        "snapshot": position,
        "step": int(zoo.steps[position]),
    }
    for field in zoo.schema.snapshot_fields:
        source[field] = int(zoo.snapshot_field(field, [row])[0, position])
    described, flat = zoo.schema.network, zoo.parameters([row], [position])[0, 0]
    whole = networks.from_json(described)
    if 0 < len(task.classes) < described["outputs"]:  # the largest tasks have more
        described = {**described, "outputs": len(task.classes)}
    if whole.frame is not None and task.network:
        ends = {key: described[key] for key in ("input_shape", "outputs")}
        described = {**whole.frame.plain(task.network), **ends}
    flat = fewer_outputs.narrowed(whole, flat, networks.from_json(described))
    save_network(
        out,
        described,
        networks.from_json(described).spec.unflatten(flat),
        task=task.to_json(),
        metrics={m: float(zoo.metric(m, [row])[0, position]) for m in zoo.schema.metrics},
        source=source,
    )
