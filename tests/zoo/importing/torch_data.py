"""Zoos of state_dicts, small and made up: folders of checkpoints, and one matrix of weights."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mole_jax.core.storage import torch_file
from mole_jax.tasks.networks import shorthand
from mole_jax.tasks.networks.torch_layout import TorchLayout, layout

NETWORK = "mlp:4,3,2"
CHECKPOINTS = ("checkpoint_000000", "checkpoint_5", "checkpoint_000010")
NUMBERS = (0, 5, 10)

State = dict[str, np.ndarray]


def torch_layout(network: str = NETWORK) -> TorchLayout:
    return layout(shorthand.parse(network).network)


def state(run: int, number: int, network: str = NETWORK) -> State:
    """The state_dict of a snapshot."""
    torch = torch_layout(network)
    rng = np.random.default_rng([run, number])
    return torch.state_dict(rng.normal(size=torch.network.spec.size).astype("f4"))


def metrics(run: int, number: int) -> dict[str, float]:
    rng = np.random.default_rng([run, number, 1])
    return {"test_loss": float(rng.random()), "test_acc": float(rng.random())}


def line(run: int, number: int) -> dict[str, Any]:
    """A line of result.json, with all that Ray Tune writes, too."""
    rest = {"config": {"lr": 0.1}, "date": "2021-01-01", "done": False, "timesteps_total": None}
    return {"training_iteration": number, **metrics(run, number), **rest}


def params(run: int) -> dict[str, Any]:
    return {
        "optim::lr": 0.01 * (run + 1),
        "optim::wd": 0.0,
        "optim::optimizer": "adam",
        "model::nlin": "relu",
        "model::type": "MLP",
        "seed": run,
    }


def write_run(
    folder: Path,
    run: int,
    *,
    network: str = NETWORK,
    content: Callable[[State], Any] = lambda state: state,
    file: str = "checkpoints",
    checkpoints: Sequence[str] = CHECKPOINTS,
    save: Callable[[Path, Any], None] = torch_file.write,
) -> None:
    """A run's folder; every epoch has its line, and some have their checkpoint."""
    for name in checkpoints:
        number = int(name.rpartition("_")[2])
        (folder / name).mkdir(parents=True)
        save(folder / name / file, content(state(run, number, network)))
    lines = [line(run, number) for number in range(NUMBERS[-1] + 1)]
    (folder / "result.json").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    (folder / "params.json").write_text(json.dumps(params(run)))


def make(path: Path, n: int = 4, **options: Any) -> Path:
    """A data set of the runs r0, r1, ..."""
    for run in range(n):
        write_run(path / f"r{run}", run, **options)
    return path


def change_lines(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes every line of result.json."""
    file = folder / "result.json"
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    for entry in lines:
        change(entry)
    file.write_text("".join(json.dumps(entry) + "\n" for entry in lines))


def make_matrix(
    path: Path,
    n: int = 4,
    *,
    order: str = "pytorch",
    names: Mapping[str, str] | None = None,
    file: str = "layout.json",
    dtype: str = "f4",
    declared: bool = True,
) -> Path:
    """The same runs as a matrix, its rows in no order.

    Args:
        path: the folder.
        n: runs.
        order: how kernels lie.
        names: the layout's, by PyTorch's or, for "tensorflow", MOLE's.
        file: the layout's, in JSON or CSV.
        dtype: of the weights.
        declared: whether the layout says the order.
    """
    path.mkdir(parents=True)
    torch = torch_layout()
    keys = [(run, number) for run in range(n) for number in NUMBERS]
    keys = [keys[i] for i in np.random.default_rng(0).permutation(len(keys))]
    rows, tensors = [], {}
    for run, number in keys:
        tensors = state(run, number)
        if order != "pytorch":
            flat = torch.from_state_dict(tensors, "here")
            fields = torch.network.spec.fields
            tensors = {field.path: flat[field.slice].reshape(field.shape) for field in fields}
        rows.append(np.concatenate([tensor.ravel() for tensor in tensors.values()]))
    np.save(path / "weights.npy", np.array(rows).astype(dtype))
    shapes = {(names or {}).get(name, name): list(x.shape) for name, x in tensors.items()}
    if file.endswith(".json"):
        entries = [{"name": name, "shape": shape} for name, shape in shapes.items()]
        said = {"order": order} if declared else {}
        (path / file).write_text(json.dumps(said | {"tensors": entries}))
    else:
        _write_csv_layout(path / file, shapes)
    table = [
        {"": i, "modeldir": f"r{run}", "step": number, **metrics(run, number),
         "note": f"text {i}", "config.learning_rate": 0.01 * (run + 1), "config.l2reg": 0,
         "config.optimizer": "adam", "config.activation": "relu"}
        for i, (run, number) in enumerate(keys)
    ]  # fmt: skip
    write_table(path / "metrics.csv.gz", table)
    return path


def _write_csv_layout(file: Path, shapes: Mapping[str, Sequence[int]]) -> None:
    end, rows = 0, []
    for name, shape in shapes.items():
        start, end = end, end + int(np.prod(shape))
        rows.append([name, start, end, end - start, str(tuple(shape))])
    with file.open("w", newline="") as text:
        csv.writer(text).writerows([["varname", "start_idx", "end_idx", "size", "shape"], *rows])


def read_table(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", newline="") as text:
        return list(csv.DictReader(text))


def write_table(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with (gzip.open if file.suffix == ".gz" else open)(file, "wt", newline="") as text:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
