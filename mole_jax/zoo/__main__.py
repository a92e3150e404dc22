"""`python -m mole_jax.zoo COMMAND ...`: what a zoo holds, whether it is whole, and more.

`grow PATH --members=N` adds runs to a finished zoo; `import-gpt`, `export-gpt` and `check-metrics`
are about the checkpoint data sets of G.pt.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mole_jax.core.program.arguments import Parser
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage.paths import user_path
from mole_jax.zoo.importing.ingest import counted, read_skips
from mole_jax.zoo.storage.manifest import read_manifest
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.schema import IMPORT, RUN_SPLITS
from mole_jax.zoo.storage.verify import verify

SHOWN_PROBLEMS = 10_000
# Commands with flags of their own: the module, which has `add_arguments(parser)` and `run(flags)`,
# and what it does. It is imported for its own command only, since it starts JAX.
MODULES = {
    "import-gpt": (
        "interop.lmdb.import_lmdb",
        "make a zoo from a checkpoint data set of G.pt; resumes",
    ),
    "import-torch": (
        "zoo.importing.import_torch",
        "make a zoo from a model zoo of PyTorch state_dicts; resumes",
    ),
    "export-gpt": (
        "interop.lmdb.export_lmdb",
        "write a zoo as a checkpoint data set that G.pt trains on",
    ),
    "check-metrics": (
        "interop.lmdb.check_metrics",
        "compute the stored loss and error again, from the weights",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0 fine, 1 problems found, or those of `command.explained`.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = Parser(
        prog="python -m mole_jax.zoo",
        description="Look at a zoo, the stored training histories of many networks.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    helps = {
        "info": "what the zoo holds, for a person to read",
        "verify": "read everything and check it; exit code 0: whole, 1: problems, one a line",
        "grow": "train more runs of every data subset and add them; the same command resumes",
    }
    for name, text in helps.items():
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        command.add_argument(
            "path", type=user_path, metavar="PATH", help="the zoo's folder, which holds zoo.json"
        )
        if name == "grow":
            text = "runs of each data subset in the end"
            command.add_argument("--members", type=int, required=True, metavar="N", help=text)
    for name, (module, text) in MODULES.items():
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        if arguments[:1] == [name]:
            found = importlib.import_module(f"mole_jax.{module}")
            found.add_arguments(command)
            command.set_defaults(run=found.run)
    return explained(lambda: _run(parser.parse_args(arguments)))


def _run(flags: argparse.Namespace) -> int:
    if flags.command in MODULES:
        return flags.run(flags)
    if flags.command == "grow":
        return _grow(flags.path, flags.members)
    if flags.command == "info":
        print("\n".join(summary(open_zoo(flags.path))))
        return 0
    return _verify(flags.path)


def summary(zoo: Zoo) -> Iterator[str]:
    """Yield the lines of `info`: sizes, runs, final metrics by split, hyperparameters, origin."""
    schema, runs = zoo.schema, zoo.runs
    sets = [task.split for task in schema.tasks]
    yield f"zoo          {schema.name} at {zoo.path}, made {zoo.created}"
    yield f"tasks        {len(sets)}: {_counts(sets)}; such as {schema.tasks[0].id}"
    yield f"runs         {zoo.n_runs}: {_counts(runs['split'])}; " + (
        f"{int((~runs['finite']).sum())} not finite (stored, and left out of what follows)"
    )
    yield f"snapshots    {len(schema.steps)} a run, at steps {_shortened(schema.steps)}"
    if schema.imported:
        yield f"imported     {_pairs(schema.config[IMPORT])}"
        yield f"  prompt metric {schema.prompt_metric}"
        yield from (f"  {line}" for line in counted(read_skips(zoo.path)))
    if schema.snapshot_fields:
        yield f"  each snapshot has its own {' and '.join(schema.snapshot_fields)}"
    fields = ", ".join(f"{f.path} {list(f.shape)}" for f in schema.spec.fields)
    yield f"parameters   D = {schema.spec.size:,} ({schema.dtype}): {fields}"
    yield f"network      {_pairs(schema.network)}"
    yield from _hyperparameters(zoo)
    yield from _final_metrics(zoo)
    yield from _storage(zoo)
    yield f"provenance   {_pairs(schema.provenance)}"


def _hyperparameters(zoo: Zoo) -> Iterator[str]:
    if "optimizer" not in zoo.runs:
        yield "optimizers   unknown"
        return
    if not zoo.n_runs:
        return
    yield f"optimizers   {_counts(zoo.runs['optimizer'])}"
    for name in ("learning_rate", "weight_decay", "init_scale"):
        if name not in zoo.runs:
            continue
        parts = []
        for optimizer in np.unique(zoo.runs["optimizer"]):
            values = zoo.runs[name][zoo.runs["optimizer"] == optimizer]
            parts.append(f"{optimizer} {values.min():.4g} .. {values.max():.4g}")
        yield f"  {name.replace('_', ' '):<15}{'; '.join(parts)}"


def _final_metrics(zoo: Zoo) -> Iterator[str]:
    splits = [split for split in RUN_SPLITS if split in zoo.runs["split"]]
    if not splits or not zoo.schema.metrics:
        return
    width = max(len(name) for name in zoo.schema.metrics)
    yield f"metrics at step {zoo.schema.steps[-1]}: smallest / median / largest of the finite runs"
    yield f"  {'':<{width}}" + "".join(f"  {split:>26}" for split in splits)
    for name in zoo.schema.metrics:
        final = zoo.metric(name)[:, -1]  # [run]
        cells = []
        for split in splits:
            values = final[zoo.select(split=split, finite=True)]
            numbers = (values.min(), np.median(values), values.max()) if values.size else ()
            cells.append(" / ".join(f"{number:.4g}" for number in numbers) or "no finite runs")
        yield f"  {name:<{width}}" + "".join(f"  {cell:>26}" for cell in cells)


def _storage(zoo: Zoo) -> Iterator[str]:
    schema = zoo.schema
    files = [file for file in zoo.path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    values = zoo.n_runs * len(schema.steps) * schema.spec.size
    raw = values * np.dtype(schema.dtype).itemsize
    yield (
        f"storage      {_bytes(size)} on disk in {len(files)} files, {_bytes(raw)} of parameters; "
        f"zstd, crc32c, {schema.runs_per_shard} runs a file, {schema.runs_per_chunk} a chunk"
    )


def _verify(path: Path) -> int:
    problems = verify(path, progress=_bar)
    for problem in problems[:SHOWN_PROBLEMS]:
        print(problem)
    if len(problems) > SHOWN_PROBLEMS:
        print(f"... and {len(problems) - SHOWN_PROBLEMS} more")
    if problems:
        print(f"{path}: {len(problems)} problem(s)", file=sys.stderr)
        return 1
    print(f"{path}: no problems")
    if read_manifest(path).schema.imported:
        print("imported: it has no recipe, so none of its runs can be trained again")
    return 0


def _grow(path: Path, members: int) -> int:
    from mole_jax.zoo.making.grow import grow  # here, since it starts JAX

    grow(path, members)
    print(f"{path}: {open_zoo(path).n_runs} runs")
    return 0


def _bar(name: str, *, total: int, unit: str) -> Any:
    # Not core's Progress: it asks JAX which process this is, and this command is quicker without.
    return tqdm(desc=name, total=total, unit=f" {unit}", disable=not sys.stderr.isatty())


def _counts(values: Any) -> str:
    names, counts = np.unique(np.asarray(values, str), return_counts=True)
    return ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True)) or "none"


def _shortened(steps: Sequence[int]) -> str:
    shown = [str(step) for step in steps]
    return " ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]])


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}: {{{_pairs(value)}}}" if isinstance(value, dict) else f"{name}: {value}"
        for name, value in values.items()
    )


def _bytes(size: int) -> str:
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"


if __name__ == "__main__":
    leave(main())
