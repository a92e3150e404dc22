"""MOLE's zoos as data sets of G.pt, and exports that were broken off."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.interop.lmdb import export_lmdb as module
from mole_jax.interop.lmdb.export_lmdb import export_gpt
from mole_jax.interop.lmdb.import_lmdb import LmdbOptions, import_gpt
from mole_jax.tasks.networks import shorthand
from mole_jax.zoo.storage.reader import open_zoo
from mole_jax.zoo.storage.schema import RunBatch
from mole_jax.zoo.storage.store import ZooWriter
from tests.interop.lmdb import gpt_data
from tests.zoo.conftest import example_batch, example_schema


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, RunBatch]:
    """A zoo as MOLE makes them, of 7 runs, one of them not finite."""
    described = shorthand.parse("mlp:5,4,3")
    schema = example_schema(
        spec=described.network.spec,
        network=described.to_json(),
        metrics=("train_loss", "train_accuracy", "validation_loss", "test_loss", "test_accuracy"),
    )
    batch = example_batch(7, schema=schema)
    finite = np.ones(7, bool)
    finite[2] = False
    batch = dataclasses.replace(batch, finite=finite)
    ZooWriter.create(tmp_path / "zoo", schema).append(batch)
    return tmp_path / "zoo", batch


def test_own_runs_have_the_metrics_that_the_reference_reads(
    own: tuple[Path, RunBatch], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, batch = own
    export_gpt(path, tmp_path / "out")
    printed = capsys.readouterr()
    assert "1 runs left out, which are not finite" in printed.err
    splits = np.array(batch.split)[np.asarray(batch.finite)]
    assert f"6 runs, of which the last {np.sum(splits != 'train')} are held out" in printed.out
    # What the reference makes of it: folders are runs, checkpoints are in the order of the JSON.
    folders = sorted(p for p in (tmp_path / "out").iterdir() if not p.name.startswith("."))
    assert [f.name for f in folders] == [f"{i:06d}" for i in range(6)]
    order = [i for i in range(7) if batch.finite[i] and batch.split[i] == "train"]
    order += [i for i in range(7) if batch.finite[i] and batch.split[i] == "S0"]
    order += [i for i in range(7) if batch.finite[i] and batch.split[i] == "S1"]
    for row, folder in zip(order, folders, strict=True):
        stored = json.loads((folder / "runs.json").read_text())
        keys = list(stored["checkpoints"])
        assert keys == [f"{folder.name}/ep00{s}_it000{n}.pt" for s, n in enumerate(("00", 10, 40))]
        accuracy = batch.metrics["test_accuracy"][row].astype(float)
        found = [stored["checkpoints"][key] for key in keys]
        assert [m["avg_test_err"] for m in found] == (100 * (1 - accuracy)).tolist()
        assert [m["avg_test_loss"] for m in found] == batch.metrics["test_loss"][row].tolist()
        assert [m["validation_loss"] for m in found] == (
            batch.metrics["validation_loss"][row].tolist()
        )
        metadata = stored["metadata"]
        assert metadata["optimal_test_loss"] == batch.metrics["test_loss"][row].min()
        assert metadata["avg_test_loss"] == batch.metrics["test_loss"][row].tolist()
        assert metadata["min_parameter_val"] == batch.parameters[row].min()
        contents = gpt_data.contents(folder)
        flat = np.frombuffer(contents[keys[1].encode()], "<f4")
        spec = open_zoo(path).schema.spec
        kernel = batch.parameters[row][1][spec["hidden_0/kernel"].slice].reshape(5, 4)
        np.testing.assert_array_equal(flat[:20].reshape(4, 5), kernel.T)
        sizes = np.frombuffer(contents[f"{keys[1]}_arch".encode()], "<f4")
        assert sizes.tolist() == [20, 4, 12, 3]


def test_what_goes_out_comes_in_again(own: tuple[Path, RunBatch], tmp_path: Path) -> None:
    path, batch = own
    export_gpt(path, tmp_path / "out")
    assert import_gpt(tmp_path / "out", tmp_path / "again", LmdbOptions("mlp:5,4,3")) == []
    again = open_zoo(tmp_path / "again").parameters()
    train = np.flatnonzero((np.array(batch.split) == "train") & np.asarray(batch.finite))
    np.testing.assert_array_equal(again[: len(train)], batch.parameters[train])


def test_an_export_that_was_broken_off_goes_on(
    own: tuple[Path, RunBatch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = module.write_bytes, 0

    def broken(path: Path, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == 6:  # two files a run: runs.json is there, DONE.txt is not
            raise KeyboardInterrupt
        real(path, data)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_bytes", broken)
        with pytest.raises(KeyboardInterrupt):
            export_gpt(own[0], out)
    assert sorted(p.name for p in out.glob("0*")) == ["000000", "000001"]
    export_gpt(own[0], out)
    assert not list(out.glob(".*.tmp"))
    export_gpt(own[0], tmp_path / "whole")
    for folder in (tmp_path / "whole").glob("0*"):
        assert gpt_data.contents(out / folder.name) == gpt_data.contents(folder)
        assert (out / folder.name / "runs.json").read_text() == (folder / "runs.json").read_text()


def test_a_folder_that_holds_something_else_is_refused(
    own: tuple[Path, RunBatch], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        export_gpt(own[0], tmp_path / "out")


def test_a_network_without_a_layout_is_refused(tmp_path: Path) -> None:
    config = {"name": "vit", "patch": 2, "width": 4, "layers": 1, "heads": 1, "mlp": 4,
              "pooling": "mean", "input_shape": [4, 4, 1], "outputs": 3}  # fmt: skip
    ZooWriter.create(tmp_path / "zoo", example_schema(network=config)).append(example_batch(1))
    with pytest.raises(UserError, match="vit has no PyTorch layout"):
        export_gpt(tmp_path / "zoo", tmp_path / "out")
    assert not (tmp_path / "out").exists()
