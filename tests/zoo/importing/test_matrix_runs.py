"""Zoos that are one matrix of weights come in, or are refused before a zoo is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import networks
from mole_jax.zoo.importing import ingest, matrix_runs
from mole_jax.zoo.importing.import_torch import TorchOptions, import_torch
from tests import torch_modules
from tests.zoo.importing import torch_data
from tests.zoo.importing.imported import MLP, assert_whole, imported, truncate


def test_networks_of_a_matrix_compute_what_the_torch_modules_do(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    data = torch_data.make_matrix(tmp_path / "data")
    zoo = imported(data)
    found = networks.from_json(zoo.schema.network)
    x = np.random.default_rng(0).normal(size=(7, 4)).astype("f4")
    rows = {(row["modeldir"], int(row["step"])): i
            for i, row in enumerate(torch_data.read_table(data / "metrics.csv.gz"))}  # fmt: skip
    weights = torch.from_numpy(np.load(data / "weights.npy"))
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    for row, name in enumerate(zoo.names()):
        torch.nn.utils.vector_to_parameters(weights[rows[name, 5]], module.parameters())
        params = zoo.schema.spec.unflatten(zoo.parameters([row], [1])[0, 0])
        wanted = torch_modules.outputs(module, x)
        np.testing.assert_allclose(found.apply(params, x), wanted, rtol=1e-4, atol=1e-5)


KERAS = {
    "hidden_0/kernel": "sequential/dense/kernel:0", "hidden_0/bias": "sequential/dense/bias:0",
    "output/kernel": "sequential/dense_1/kernel:0", "output/bias": "sequential/dense_1/bias:0",
}  # fmt: skip
LAYOUTS: dict[str, dict[str, Any]] = {
    "pytorch": {},
    "prefixed": {"names": {f"{m}.{x}": f"module.{m}.{x}" for m in ("fc1", "fc2")
                           for x in ("weight", "bias")}},
    "sequential": {"names": {"fc1.weight": "0.weight", "fc1.bias": "0.bias",
                             "fc2.weight": "2.weight", "fc2.bias": "2.bias"}},
    "not said": {"declared": False},
    "mole": {"order": "mole"},
    "tensorflow": {"order": "tensorflow", "names": KERAS},
    "csv of tensorflow": {"order": "tensorflow", "names": KERAS, "file": "layout.csv"},
    "csv of pytorch": {"file": "layout.csv"},
}  # fmt: skip


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_matrix_comes_in_with_any_layout_that_is_certain(tmp_path: Path, case: str) -> None:
    assert_whole(imported(torch_data.make_matrix(tmp_path / "data", **LAYOUTS[case])))


def test_a_matrix_stays_in_its_file(tmp_path: Path) -> None:
    data = torch_data.make_matrix(tmp_path / "data")
    matrix = matrix_runs.open_matrix(data, torch_data.torch_layout(), "relu")
    assert isinstance(matrix._weights, np.memmap)


def test_runs_of_a_matrix_that_are_no_good_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = torch_data.make_matrix(tmp_path / "data", 9, dtype="f8")
    weights = np.load(data / "weights.npy")
    table = torch_data.read_table(data / "metrics.csv.gz")
    rows = {(row["modeldir"], row["step"]): i for i, row in enumerate(table)}
    weights[rows["r1", "5"], 3] = 1e300
    weights[rows["r2", "0"], 0] = np.nan
    table[rows["r3", "10"]]["test_loss"] = ""
    table[rows["r4", "10"]]["step"] = "5"
    table[rows["r5", "10"]]["step"] = "9.5"
    for row in table:
        if row["modeldir"] == "r6":
            row["config.activation"] = "tanh"
    keep = [i for i in range(len(table)) if i != rows["r7", "0"]]
    np.save(data / "weights.npy", weights[keep])
    torch_data.write_table(data / "metrics.csv.gz", [table[i] for i in keep])
    zoo = imported(data)
    assert sorted(zoo.names()) == ["r0", "r8"]
    reasons = {skip.name: skip.reason for skip in ingest.read_skips(zoo.path)}
    for name, words in {
        "r1": r"has NaN or infinity in row",
        "r2": r"(step 0)",
        "r3": "has no finite test_loss at some snapshot",
        "r4": "has a step twice",
        "r5": "has a step that is no whole number",
        "r6": "has config.activation='tanh'",
        "r7": "has 2 snapshots",
    }.items():
        assert words in reasons[name]


def without(column: str) -> Callable[[Path], object]:
    def change(data: Path) -> None:
        table = torch_data.read_table(data / "metrics.csv.gz")
        for row in table:
            del row[column]
        torch_data.write_table(data / "metrics.csv.gz", table)

    return change


def stored(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    return lambda data: np.save(data / "weights.npy", change(np.load(data / "weights.npy")))


def laid(**changes: Any) -> Callable[[Path], object]:
    def change(data: Path) -> None:
        file = data / "layout.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def tensors(*pairs: tuple[str, list[int]]) -> Callable[[Path], object]:
    return laid(tensors=[{"name": name, "shape": shape} for name, shape in pairs])


REST = (("fc1.bias", [3]), ("fc2.weight", [2, 3]), ("fc2.bias", [2]))
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "int8": (stored(lambda x: x.astype("i1")), "weights.npy holds numbers of type int8"),
    "complex": (stored(lambda x: x.astype("c8")), "weights.npy holds numbers of type complex64"),
    "objects": (stored(lambda x: x.astype(object)), "weights.npy cannot be read as a NumPy array"),
    "vector": (stored(lambda x: x[0]), "must be a matrix"),
    "columns": (stored(lambda x: x[:, :-1]), "has 22 columns, and layout.json says 23"),
    "rows": (stored(lambda x: x[:-1]), "has 11 rows, and metrics.csv.gz 12"),
    "no array": (lambda d: (d / "weights.npy").write_bytes(b"x"), "read as a NumPy array"),
    "no layout": (lambda d: (d / "layout.json").unlink(), "has no layout.json or layout.csv"),
    "shape": (tensors(("fc1.weight", [4, 3]), *REST),
              r"layout.json, order pytorch: fc1.weight has shape \[4, 3\], .* needs \[3, 4\]"),
    "names": (tensors(("a.weight", [3, 4]), *REST), "lacks the tensor 'fc1.weight'; it has a.wei"),
    "twice": (tensors(("fc1.bias", [12]), *REST), "fc1.bias is there twice"),
    "order": (laid(order="HWIO"), "order 'HWIO' is unknown; use pytorch, tensorflow, mole"),
    "no tensors": (laid(tensors=[{"name": "a"}]), "layout.json cannot be understood"),
    "gap": (laid(tensors=[{"name": "a", "shape": [3], "start": 2}]), "begins at column 2"),
    "silent": (lambda d: (d / "layout.json").write_text('[{"name": "w", "shape": [23]}]'),
               "does not say how kernels lie"),
    "no table": (lambda d: (d / "metrics.csv.gz").unlink(), "but no metrics.csv.gz or metrics.csv"),
    "no gzip": (lambda d: (d / "metrics.csv.gz").write_text("a,b"), "cannot be read as a table"),
    "cut": (lambda d: truncate(d / "metrics.csv.gz"), "cannot be read as a table"),
    "no run": (without("modeldir"), "say with --run-column"),
    "no step": (without("step"), "say with --step-column"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_matrix_that_will_not_do_is_refused_before_a_zoo_is_made(
    tmp_path: Path, case: str
) -> None:
    data = torch_data.make_matrix(tmp_path / "data")
    spoil, words = REFUSED[case]
    spoil(data)
    with pytest.raises(UserError, match=words):
        import_torch(data, tmp_path / "zoo", MLP)
    assert not (tmp_path / "zoo").exists()


def test_columns_of_any_name_can_be_told(tmp_path: Path) -> None:
    data = torch_data.make_matrix(tmp_path / "data")
    table = [
        {{"modeldir": "who", "step": "when"}.get(name, name): cell for name, cell in row.items()}
        for row in torch_data.read_table(data / "metrics.csv.gz")
    ]
    (data / "metrics.csv.gz").unlink()
    torch_data.write_table(data / "metrics.csv", table)
    zoo = imported(data, TorchOptions("mlp:4,3,2", run_column="who", step_column="when"))
    assert_whole(zoo)
