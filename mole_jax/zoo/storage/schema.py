"""What a zoo holds: its fixed facts (`ZooSchema`) and the rows one appends (`RunBatch`)."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes  # noqa: F401  teaches NumPy the name bfloat16
import numpy as np

from mole_jax.core import compat
from mole_jax.core.seeds import LARGEST_SEED
from mole_jax.core.storage.files import to_json
from mole_jax.tasks.parameters import ParameterSpec
from mole_jax.tasks.subsets import DataSubset

# Strings are stored as their position in these tables. Zoos on disk carry their own copy, so the
# tables may grow at the end.
RUN_SPLITS = ("train", "S0", "S1", "S2", "S3", "S4", "S2any")
OPTIMIZERS = ("adam", "sgd")
CODES = {"split": RUN_SPLITS, "optimizer": OPTIMIZERS}

# The splits that runs of a task may have, if others than the task's own.
_SPLITS_OF = {"train": ("train", "S0")}

HYPERPARAMETERS = ("learning_rate", "weight_decay", "init_scale", "optimizer")
PARAMETER_DTYPES = ("bfloat16", "float16", "float32", "float64")
METRIC_DTYPES = ("float32", "float64")
# The default prompt metric is the loss on the validation pool: the test pool is then only ever
# measured.
PROMPT_METRIC = "validation_loss"
IMPORT = "import"  # the section of a zoo's config that says how it was imported
IMPORT_FINISHED = "import_finished"  # in its provenance, once it has all runs

# Values that zoo.json leaves out, and older zoos lack.
_DEFAULTS: dict[str, Any] = {
    "prompt_metric": PROMPT_METRIC,
    "metric_dtype": "float32",
    "snapshot_fields": [],
    "run_names": [],
    "hyperparameters": list(HYPERPARAMETERS),
}

_BLOCK_BYTES = 16 * 2**20  # checked in one go: a whole array would double in memory


@dataclass(frozen=True)
class ZooSchema:
    """The facts about a zoo that no append changes.

    steps: the optimizer step of each snapshot, S of them. tasks: the table that a run's `subset`
    indexes. splits, config, network and provenance are free dicts of JSON values. A shard (one
    file) holds `runs_per_shard` runs, and is read in chunks of `runs_per_chunk` whole runs.

    The rest is for zoos that were imported. prompt_metric: the one that prompts' start and target
    metrics are values of. metric_dtype: of the stored metrics. snapshot_fields: whole numbers that
    every run has for each snapshot, such as its own iteration; where runs differ in these, steps
    are the positions 0..S-1. run_names: the names of runs in their source, by `member`.
    hyperparameters: those that are known.

    Raises ValueError for sizes that cannot be laid out.
    """

    name: str
    spec: ParameterSpec
    network: dict[str, Any]
    steps: tuple[int, ...]
    metrics: tuple[str, ...]
    tasks: tuple[DataSubset, ...]
    splits: dict[str, Any]
    config: dict[str, Any]
    provenance: dict[str, Any]
    dtype: str = "float32"
    runs_per_shard: int = 256
    runs_per_chunk: int = 8
    prompt_metric: str = PROMPT_METRIC
    metric_dtype: str = "float32"
    snapshot_fields: tuple[str, ...] = ()
    run_names: tuple[str, ...] = ()
    hyperparameters: tuple[str, ...] = HYPERPARAMETERS

    def __post_init__(self) -> None:
        if self.dtype not in PARAMETER_DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}; use one of {', '.join(PARAMETER_DTYPES)}")
        if min(self.runs_per_chunk, self.runs_per_shard) < 1 or (
            self.runs_per_shard % self.runs_per_chunk
        ):
            raise ValueError(
                f"runs_per_shard ({self.runs_per_shard}) must be a multiple of runs_per_chunk "
                f"({self.runs_per_chunk})"
            )
        if not self.steps or any(b <= a for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError(f"steps must increase and there must be one at least: {self.steps}")
        if not self.tasks:
            raise ValueError("the task table is empty")
        if self.metric_dtype not in METRIC_DTYPES:
            raise ValueError(
                f"metric_dtype is {self.metric_dtype!r}; use one of {', '.join(METRIC_DTYPES)}"
            )
        if not set(self.hyperparameters) <= set(HYPERPARAMETERS):
            raise ValueError(
                f"hyperparameters are {self.hyperparameters}; there are {HYPERPARAMETERS}"
            )

    @property
    def imported(self) -> bool:
        """Whether the runs were trained elsewhere: no config says how to train them again."""
        return IMPORT in self.config

    def to_json(self) -> dict[str, Any]:
        """Return the schema as JSON values, under the names they have in zoo.json."""
        obj = {
            "name": self.name,
            "parameter_spec": self.spec.to_json(),
            "network": self.network,
            "steps": [int(step) for step in self.steps],
            "metrics": list(self.metrics),
            "tasks": [{"index": i, **task.to_json()} for i, task in enumerate(self.tasks)],
            "splits": self.splits,
            "config": self.config,
            "provenance": self.provenance,
            "storage": {
                "dtype": self.dtype,
                "runs_per_shard": self.runs_per_shard,
                "runs_per_chunk": self.runs_per_chunk,
                "compressor": "zstd",
            },
        }
        optional = {
            "prompt_metric": self.prompt_metric,
            "metric_dtype": self.metric_dtype,
            "snapshot_fields": list(self.snapshot_fields),
            "run_names": list(self.run_names),
            "hyperparameters": list(self.hyperparameters),
        }
        obj |= {name: value for name, value in optional.items() if value != _DEFAULTS[name]}
        # Through text and back: what a file would give, so that schemas can be compared.
        return json.loads(to_json(obj))

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> ZooSchema:
        """Invert `to_json`; raise KeyError, TypeError or ValueError on damaged input."""
        tasks = obj["tasks"]
        if [task["index"] for task in tasks] != list(range(len(tasks))):
            raise ValueError("the task table's indices are not 0, 1, 2, ...")
        return cls(
            name=obj["name"],
            spec=ParameterSpec.from_json(obj["parameter_spec"]),
            network=dict(obj["network"]),
            steps=tuple(int(step) for step in obj["steps"]),
            metrics=tuple(obj["metrics"]),
            tasks=tuple(DataSubset.from_json(task) for task in tasks),
            splits=dict(obj["splits"]),
            config=compat.renamed(dict(obj["config"])),
            provenance=dict(obj["provenance"]),
            dtype=obj["storage"]["dtype"],
            runs_per_shard=obj["storage"]["runs_per_shard"],
            runs_per_chunk=obj["storage"]["runs_per_chunk"],
            prompt_metric=obj.get("prompt_metric", PROMPT_METRIC),
            metric_dtype=obj.get("metric_dtype", "float32"),
            snapshot_fields=tuple(obj.get("snapshot_fields", ())),
            run_names=tuple(obj.get("run_names", ())),
            hyperparameters=tuple(obj.get("hyperparameters", HYPERPARAMETERS)),
        )


@dataclass(frozen=True)
class RunBatch:
    """R finished runs, ready to be stored (numpy arrays, or anything `np.asarray` takes).

    A run is `finite` when all its parameters, as they are stored, and all its metrics are, and no
    weight is beyond what its population allows. The hyperparameters are learning_rate,
    weight_decay, init_scale (floats) and optimizer ("adam" or "sgd"); an imported zoo may know
    fewer of them.
    """

    parameters: Any  # [R, S, D] in the schema's dtype
    metrics: Mapping[str, Any]  # name -> [R, S] in the schema's metric_dtype
    subset: Any  # [R] index into the task table
    split: Any  # [R] str: "train", "S0", "S1"
    member: Any  # [R] int: position in its population
    seed: Any  # [R] int
    finite: Any  # [R] bool
    hyperparameters: Mapping[str, Any]  # name -> [R]
    snapshots: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # name -> [R, S] int


def schema_faults(schema: ZooSchema) -> list[str]:
    """Return a schema's contradictions, one line each: names, offsets, held-out tasks."""
    faults = [f"the metric {name} is there twice" for name in _repeated(schema.metrics)]
    faults += [f"the task {name} is there twice" for name in _repeated(t.id for t in schema.tasks)]
    faults += [f"the run name {name} is there twice" for name in _repeated(schema.run_names)]
    offset = 0
    for field in schema.spec.fields:
        if field.offset != offset:
            faults.append(f"parameter {field.path} is at offset {field.offset}, not at {offset}")
        offset = field.offset + field.size
    seen: dict[tuple[Any, ...], DataSubset] = {}
    for task in schema.tasks:
        other = seen.setdefault(task.content, task)
        if (other.split == "train") != (task.split == "train"):
            faults.append(
                f"{task.id} ({task.split}) is the same as {other.id} ({other.split}): a held-out "
                "task must not be trained on"
            )
    return faults


def batch_columns(schema: ZooSchema, batch: RunBatch) -> dict[str, np.ndarray]:
    """Return the batch as the zoo's arrays, keyed by array name ("runs/seed"), strings as codes.

    parameters [R, S, D], metrics/NAME and snapshots/NAME [R, S], runs/NAME [R].
    Raises ValueError, saying which array and which run, when the batch does not fit the schema.
    """
    n_runs = len(np.asarray(batch.subset))
    n_snapshots = len(schema.steps)
    columns = {
        "parameters": _array(
            "parameters", batch.parameters, (n_runs, n_snapshots, schema.spec.size), schema.dtype
        )
    }
    _same_names("metrics", batch.metrics, schema.metrics)
    for name in schema.metrics:
        column = _array(name, batch.metrics[name], (n_runs, n_snapshots), schema.metric_dtype)
        columns[f"metrics/{name}"] = column
    _same_names("snapshots", batch.snapshots, schema.snapshot_fields)
    for name in schema.snapshot_fields:
        column = _integers(name, batch.snapshots[name], (n_runs, n_snapshots), "int32")
        columns[f"snapshots/{name}"] = column

    subset = _integers("subset", batch.subset, (n_runs,), "int32")
    outside = np.flatnonzero((subset < 0) | (subset >= len(schema.tasks)))
    if outside.size:
        raise ValueError(
            f"run {outside[0]} of the batch has subset {subset[outside[0]]}, but the task table "
            f"holds 0..{len(schema.tasks) - 1}"
        )
    split = _codes("split", batch.split, n_runs, RUN_SPLITS)
    columns |= {
        "runs/subset": subset,
        "runs/split": split,
        "runs/member": _integers("member", batch.member, (n_runs,), "int32"),
        "runs/seed": _seeds(batch.seed, n_runs),
        "runs/finite": _array("finite", batch.finite, (n_runs,), "bool"),
    }
    for run in np.flatnonzero(misplaced(schema.tasks, RUN_SPLITS, subset, split))[:1].tolist():
        task = schema.tasks[subset[run]]
        raise ValueError(
            f"run {run} of the batch is in split {RUN_SPLITS[split[run]]!r}, but its task "
            f"{task.id} is in {task.split!r}"
        )
    _same_names("hyperparameters", batch.hyperparameters, schema.hyperparameters)
    for name in schema.hyperparameters:
        values = batch.hyperparameters[name]
        if name == "optimizer":
            columns["runs/optimizer"] = _codes(name, values, n_runs, OPTIMIZERS)
        else:
            column = np.asarray(values)
            if column.dtype.kind not in "fiu":
                raise ValueError(f"{name} must be numbers, not {column.dtype}")
            column = _array(name, column.astype(np.float32), (n_runs,), "float32")
            if not np.isfinite(column).all():
                raise ValueError(f"{name} of run {np.argmin(np.isfinite(column))} is not finite")
            columns[f"runs/{name}"] = column

    for name in ("parameters", *(f"metrics/{metric}" for metric in schema.metrics)):
        for run in np.flatnonzero(columns["runs/finite"] & ~finite_runs(columns[name]))[:1]:
            raise ValueError(f"run {run} of the batch is marked finite, but its {name} is not")
    return columns


def misplaced(
    tasks: tuple[DataSubset, ...], names: tuple[str, ...], subset: np.ndarray, split: np.ndarray
) -> np.ndarray:
    """Return which runs are in a split that their task does not allow: [run] bool.

    Args:
        tasks: the task table.
        names: the splits that codes stand for.
        subset: [run] positions in the task table.
        split: [run] positions in `names`.
    """
    splits = sorted({task.split for task in tasks})
    of = np.array([splits.index(task.split) for task in tasks])  # [task]
    allowed = np.array([[name in _SPLITS_OF.get(s, (s,)) for name in names] for s in splits])
    return ~allowed[of[subset], split]


def finite_runs(values: np.ndarray) -> np.ndarray:
    """Return which runs of [run, ...] hold finite numbers only: [run] bool."""
    finite = np.empty(len(values), bool)
    block = max(1, _BLOCK_BYTES // max(1, values[:1].nbytes))
    for start in range(0, len(values), block):
        part = values[start : start + block]
        finite[start : start + block] = np.isfinite(part).all(axis=tuple(range(1, part.ndim)))
    return finite


def _array(name: str, values: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, but the zoo expects {shape}")
    if array.dtype != np.dtype(dtype):
        raise ValueError(f"{name} has dtype {array.dtype}, but the zoo stores {dtype}")
    return array


def _integers(name: str, values: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, not {array.dtype}")
    limits = np.iinfo(dtype)
    if array.size and not (limits.min <= int(array.min()) <= int(array.max()) <= limits.max):
        raise ValueError(f"{name} does not fit in {dtype}: {array.min()}..{array.max()}")
    return _array(name, array.astype(dtype), shape, dtype)


def _seeds(values: Any, n_runs: int) -> np.ndarray:
    seeds = _integers("seed", values, (n_runs,), "int64")
    if seeds.size and not 0 <= seeds.min() <= seeds.max() <= LARGEST_SEED:
        raise ValueError(f"seed must lie in 0..{LARGEST_SEED}: {seeds.min()}..{seeds.max()}")
    return seeds


def _codes(name: str, values: Any, n_runs: int, table: tuple[str, ...]) -> np.ndarray:
    found, which = np.unique(np.asarray(values, str), return_inverse=True)
    unknown = sorted(set(found.tolist()) - set(table))
    if unknown:
        raise ValueError(f"unknown {name} {', '.join(unknown)}; use {', '.join(table)}")
    codes = np.array([table.index(value) for value in found.tolist()], np.int8)
    return _array(name, codes[which] if found.size else codes, (n_runs,), "int8")


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _same_names(what: str, given: Mapping[str, Any], expected: tuple[str, ...]) -> None:
    if set(given) != set(expected):
        missing, extra = sorted(set(expected) - set(given)), sorted(set(given) - set(expected))
        raise ValueError(f"{what}: missing {missing}, unexpected {extra}")
