"""Zoos of state_dicts come in: both forms, whole, damaged, broken off."""

from __future__ import annotations

import json
import math
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.core.storage import torch_file
from mole_jax.tasks import networks
from mole_jax.tasks.networks import shorthand
from mole_jax.zoo.__main__ import main
from mole_jax.zoo.importing import ingest
from mole_jax.zoo.importing.import_torch import TorchOptions, import_torch
from mole_jax.zoo.storage.reader import open_zoo
from mole_jax.zoo.storage.store import ZooWriter
from mole_jax.zoo.storage.verify import verify
from tests import torch_modules
from tests.zoo.importing import torch_data
from tests.zoo.importing.imported import MLP, assert_whole, imported, truncate

FORMS: dict[str, Callable[..., Path]] = {
    "folders": torch_data.make,
    "matrix": torch_data.make_matrix,
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return torch_data.make(tmp_path / "data")


@pytest.mark.parametrize("form", FORMS)
def test_both_forms_come_in_through_the_command(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data, zoo = FORMS[form](tmp_path / "data"), str(tmp_path / "zoo")
    command = ["import-torch", str(data), "--network=mlp:4,3,2", "--out", zoo]
    assert main([*command, "--held-out-runs=1"]) == 0
    printed = capsys.readouterr()
    assert "4 runs, 0 left out" in printed.out
    assert "left out: " in printed.err  # text columns
    opened = open_zoo(zoo)
    assert_whole(opened)
    assert opened.runs["split"].tolist() == ["train"] * 3 + ["S0"]
    assert opened.schema.prompt_metric == "test_loss"
    details = json.loads((opened.path / "hyperparameters.json").read_text())["runs"]
    assert sorted(details) == ["r0", "r1", "r2", "r3"]
    assert details["r1"].get("seed", 1) == 1
    assert main(["info", zoo]) == 0
    assert "optimizers   4 adam" in capsys.readouterr().out
    # The same once more: nothing is left to do.
    assert main([*command, "--held-out-runs=1"]) == 0
    assert_whole(open_zoo(zoo))
    assert main([*command, "--held-out-runs=2"]) == 2
    assert "held_out_runs: 1 -> 2" in capsys.readouterr().err


@pytest.mark.parametrize("form", FORMS)
def test_options_choose_runs_and_the_metric(tmp_path: Path, form: str) -> None:
    data = FORMS[form](tmp_path / "data")
    zoo = imported(data, TorchOptions("mlp:4,3,2", metric="test_acc", limit=2, held_out_runs=1))
    assert zoo.n_runs == 2
    assert zoo.schema.prompt_metric == "test_acc"


def saved_by_torch(path: Path, content: Any) -> None:
    torch = pytest.importorskip("torch")

    def tensors(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: tensors(item) for name, item in value.items()}
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    torch.save(tensors(content), path)


@pytest.mark.parametrize("network", ["mlp:64,8,5", "cnn:3,4,6,5", "policy:4,6,5,2"])
def test_imported_networks_compute_what_the_torch_modules_do(tmp_path: Path, network: str) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    # One has its own names, one a wrapper's prefix, and one the names of a Sequential, too.
    modules = [torch_modules.build(network) for _ in range(2)]
    if network.startswith("mlp"):
        modules.append(nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 5)))
    described = shorthand.parse(network, torch_modules.SIDE).network
    x = np.random.default_rng(0).normal(size=(7, described.n_inputs)).astype("f4")
    for run, own in enumerate(modules):
        wrapped = nn.DataParallel(own) if run else own
        # Adam's state is beside the weights, and has none of their names.
        optimizer = torch.optim.Adam(wrapped.parameters(), lr=0.1)
        folder = tmp_path / "data" / f"r{run}"
        for number in (1, 2):
            own(torch.from_numpy(x)).square().sum().backward()
            optimizer.step()
            content = {"epoch": number, "model": wrapped.state_dict(),
                       "optimizer": optimizer.state_dict()}  # fmt: skip
            file = folder / f"checkpoint_{number:06d}" / "checkpoints"
            file.parent.mkdir(parents=True)
            torch.save(content, file)
        lines = [{"training_iteration": n, "loss": 0.5} for n in (1, 2)]
        (folder / "result.json").write_text("\n".join(map(json.dumps, lines)))
    zoo = imported(tmp_path / "data", TorchOptions(network, image_side=torch_modules.SIDE))
    found = networks.from_json(zoo.schema.network)
    for run, own in enumerate(modules):
        params = zoo.schema.spec.unflatten(zoo.parameters([run], [-1])[0, 0])
        wanted = torch_modules.outputs(own, x)
        np.testing.assert_allclose(found.apply(params, x), wanted, rtol=1e-4, atol=1e-5)


CONTENTS: dict[str, dict[str, Any]] = {
    "alone": {},
    "state_dict": {"content": lambda s: {"state_dict": s, "epoch": 3}},
    "nested": {"content": lambda s: {"model": {"model_state_dict": s}, "optimizer": {"a": s}}},
    "wrapped": {"content": lambda s: {f"_orig_mod.module.{n}": x for n, x in s.items()}},
    "lightning": {"content": lambda s: {"state_dict": {f"model.{n}": x for n, x in s.items()}}},
    "sequential": {
        "content": lambda s: {
            f"{i}.{leaf}": s[f"fc{n}.{leaf}"]
            for n, i in ((1, 0), (2, 3))
            for leaf in ("weight", "bias")
        }
    },
    "checkpoint": {"file": "checkpoint"},
    "pt": {"file": "model.pt"},
    "other": {"file": "weights"},
}


@pytest.mark.parametrize("case", CONTENTS)
def test_a_state_dict_is_found_where_people_put_it(tmp_path: Path, case: str) -> None:
    data = torch_data.make(tmp_path / "data", **CONTENTS[case])
    for folder in data.glob("*/checkpoint*"):  # what else Ray leaves there
        (folder / ".is_checkpoint").touch()
        (folder / f"{folder.name}.tune_metadata").write_bytes(b"x")
    assert_whole(imported(data))


def test_the_line_that_names_a_checkpoint_is_the_checkpoints(tmp_path: Path) -> None:
    """Ray 2 counts checkpoints, and a line says which one it belongs to."""
    checkpoints = [f"checkpoint_{i:06d}" for i in (0, 5, 10)]
    data = torch_data.make(tmp_path / "data", 2, checkpoints=checkpoints)
    for run in range(2):
        names = {number + 1: f"checkpoint_{number:06d}" for number in torch_data.NUMBERS}
        torch_data.change_lines(
            data / f"r{run}",
            lambda entry, names=names: entry.update(
                {"training_iteration": entry["training_iteration"] + 1},
                checkpoint_dir_name=names.get(entry["training_iteration"] + 1, ""),
            ),
        )
    assert_whole(imported(data), 2)


def test_a_checkpoint_without_metrics_is_left_out_and_said(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in data.iterdir():
        file = run / "result.json"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))
    zoo = imported(data)
    assert zoo.schema.steps == torch_data.NUMBERS[1:]
    assert "left out: 4, such as r0/checkpoint_000000" in capsys.readouterr().err


def test_a_metric_that_most_runs_have_not_is_left_out_and_said(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("r0", "r1", "r2"):
        torch_data.change_lines(data / name, lambda entry: entry.update({"val/loss": math.nan}))
    torch_data.change_lines(data / "r3", lambda entry: entry.update({"val/loss": 1.0}))
    assert_whole(imported(data))
    assert "config, date, done, timesteps_total, val_loss" in capsys.readouterr().err
    asked = imported(data, TorchOptions("mlp:4,3,2", metric="val_loss"), "asked")
    assert asked.names() == ["r3"] and asked.schema.prompt_metric == "val_loss"


def test_where_iterations_differ_each_run_keeps_its_own(data: Path) -> None:
    torch_data.write_run(
        data / "r9", 9, checkpoints=["checkpoint_0", "checkpoint_4", "checkpoint_7"]
    )
    zoo = imported(data)
    assert zoo.schema.steps == (0, 1, 2)
    assert zoo.snapshot_field("iteration").tolist() == [[0, 5, 10]] * 4 + [[0, 4, 7]]


def changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        state = torch_data.state(1, 5)
        saved_by_torch(folder / "checkpoint_5" / "checkpoints", state | {name: change(state[name])})

    return spoil


def metric(value: Any) -> Callable[[Path], object]:
    return lambda f: torch_data.change_lines(f, lambda entry: entry.update(test_loss=value))


def evil(folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {folder}/ran",)

    with zipfile.ZipFile(folder / "checkpoint_5" / "checkpoints", "w") as file:
        file.writestr("x/data.pkl", pickle.dumps(Evil(), 2))


def write_params(text: str) -> Callable[[Path], object]:
    return lambda f: (f / "params.json").write_text(text)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "shape": (
        changed("fc1.weight", lambda x: np.zeros((3, 5), "f4")),
        "checkpoint_5/checkpoints: fc1.weight has shape [3, 5], and the network needs [3, 4]",
    ),
    "name": (
        lambda f: torch_file.write(
            f / "checkpoint_5" / "checkpoints", {"fc1.weight": np.zeros((3, 4), "f4")}
        ),
        "checkpoint_5/checkpoints lacks the tensor 'fc1.bias'; it has fc1.weight [3, 4]; the",
    ),
    "int8": (changed("fc1.bias", lambda x: x.astype("i1")), "fc1.bias holds numbers of type int8"),
    "bool": (changed("fc1.bias", lambda x: x > 0), "fc1.bias holds numbers of type bool"),
    "complex": (changed("fc1.bias", lambda x: x.astype("c8")), "fc1.bias holds numbers of type c"),
    "float64": (changed("fc1.bias", lambda x: x.astype("f8") * 1e300), "fc1.bias has NaN or inf"),
    "NaN": (changed("fc1.bias", lambda x: x * np.nan), "fc1.bias has NaN or infinite"),
    "axis": (lambda f: saved_by_torch(f / "checkpoint_5" / "checkpoints",
                                      {n: x[None] for n, x in torch_data.state(1, 5).items()}),
             "its tensors have a leading axis of 1"),
    "other": (lambda f: torch_file.write(f / "checkpoint_5" / "checkpoints", {"epoch": 3}),
              "checkpoint_5/checkpoints has no unambiguous state_dict: it has epoch"),
    "two": (lambda f: torch_file.write(f / "checkpoint_5" / "checkpoints",
                                       {"model": {}, "net": {}}), "no unambiguous state_dict"),
    "evil": (evil, "which is no part of a tensor"),
    "truncated": (lambda f: truncate(f / "checkpoint_5" / "checkpoints"), "or its end is missing"),
    "no file": (lambda f: (f / "checkpoint_5" / "checkpoints").unlink(), "has no file: one file"),
    "files": (lambda f: [(f / "checkpoint_5" / "checkpoints").rename(f / "checkpoint_5" / "a.pt"),
                         (f / "checkpoint_5" / "b.pt").touch()], "checkpoint_5 has a.pt, b.pt"),
    "fewer": (lambda f: (f / "checkpoint_5").rename(f / "backup"), "has 2 snapshots"),
    "twice": (lambda f: (f / "checkpoint_000005").mkdir(), "has the checkpoint 5 twice"),
    "no result": (lambda f: (f / "result.json").unlink(), "lacks result.json"),
    "result": (lambda f: truncate(f / "result.json"), "result.json cannot be read"),
    "a list": (lambda f: (f / "result.json").write_text("[1]"), "line 1 is no JSON object"),
    "no epoch": (lambda f: torch_data.change_lines(f, lambda e: e.pop("training_iteration")),
                 "result.json, line 1 has none of training_iteration"),
    "half": (lambda f: torch_data.change_lines(f, lambda e: e.update(training_iteration=0.5)),
             "training_iteration is 0.5, no whole number"),
    "NaN metric": (metric(math.nan), "has no finite test_loss at some snapshot"),
    "huge metric": (metric(1e300), "has no finite test_loss at some snapshot"),
    "no metric": (metric(None), "has no finite test_loss at some snapshot"),
    "params": (write_params("{"), "params.json cannot be read"),
    "no folder": (lambda f: ((f / "checkpoint_5" / "checkpoints").unlink(),
                             (f / "checkpoint_5" / "checkpoints").symlink_to(f / "gone")),
                  "checkpoint_5 has no file"),
    "activation": (write_params('{"model::nlin": "tanh"}'),
                   "has model::nlin='tanh', and the network that was asked for has relu"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_that_is_no_good_is_left_out_and_named(
    data: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, words = DAMAGES[damage]
    spoil(data / "r1")
    command = ["import-torch", str(data), "--network=mlp:4,3,2", "--out"]
    assert main([*command, str(data.parent / "zoo")]) == 0
    printed = capsys.readouterr()
    assert "3 runs, 1 left out" in printed.out
    assert "  r1 " in printed.err and words in printed.err
    zoo = open_zoo(data.parent / "zoo")
    assert zoo.names() == ["r0", "r2", "r3"]
    assert "test_loss" in zoo.schema.metrics and verify(zoo.path) == []
    assert not (data / "r1" / "ran").exists()
    assert main([*command, str(data.parent / "strict"), "--strict"]) == 2
    refusal = capsys.readouterr().err.splitlines()[-1]
    assert refusal.startswith("error: ") and words in refusal and "--strict" in refusal


def test_hyperparameters_that_not_all_runs_have_are_kept_aside(data: Path) -> None:
    (data / "r2" / "params.json").unlink()
    zoo = imported(data)
    assert zoo.schema.hyperparameters == ()
    runs = json.loads((zoo.path / "hyperparameters.json").read_text())["runs"]
    assert runs["r1"]["optim::lr"] == 0.02 and runs["r2"] == {}


class Killed(BaseException):
    pass


@pytest.mark.parametrize("form", FORMS)
def test_a_killed_import_goes_on_and_ends_with_the_same_zoo(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LONGEST_SHARD", 2)
    data = FORMS[form](tmp_path / "data", 5)
    whole = imported(data, name="whole")
    real, calls = ZooWriter.append, []

    def killed(writer: ZooWriter, batch: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise Killed
        real(writer, batch)

    with monkeypatch.context() as patch:
        patch.setattr(ZooWriter, "append", killed)
        with pytest.raises(Killed):
            import_torch(data, tmp_path / "zoo", MLP)
    assert open_zoo(tmp_path / "zoo").n_runs == 2
    zoo = imported(data)
    assert_whole(zoo, 5)
    assert zoo.names() == whole.names()
    np.testing.assert_array_equal(zoo.parameters(), whole.parameters())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            TorchOptions("mlp:4,2,2"),
            r"fc1.weight has shape \[3, 4\], and the network needs \[2, 4\]",
        ),
        (TorchOptions("cnn:3,2,4,5"), r"it has fc1.weight \[3, 4\].*needs conv1.weight"),
        (TorchOptions("mlp:4,3,2", metric="loss"), "have the metrics test_acc, test_loss"),
        (TorchOptions("mlp:4,3,2", held_out_runs=4), "leaves nothing to train on"),
        (TorchOptions("mlp:4,3,2", limit=-1), "must be 0 or more"),
        (TorchOptions("mlp:4,3,2", max_weight=0), "must be above 0"),
    ],
)
def test_what_cannot_be_imported_is_refused(
    tmp_path: Path, form: str, options: TorchOptions, words: str
) -> None:
    data = FORMS[form](tmp_path / "data")
    with pytest.raises(UserError, match=words):
        import_torch(data, tmp_path / "zoo", options)
    assert not (tmp_path / "zoo").exists()


def test_the_usual_cnn_of_model_zoos_is_refused_with_what_does_not_fit(tmp_path: Path) -> None:
    """Three convolutions with max-pooling and two linear layers: MOLE has none that is the same."""
    shapes = {
        "0": (8, 1, 5, 5),
        "3": (6, 8, 5, 5),
        "6": (4, 6, 2, 2),
        "9": (20, 36),
        "11": (10, 20),
    }
    content = {
        f"module_list.{i}.{leaf}": np.zeros(shape if leaf == "weight" else shape[:1], "f4")
        for i, shape in shapes.items()
        for leaf in ("weight", "bias")
    }
    data = torch_data.make(tmp_path / "data", 2, content=lambda _: content)
    with pytest.raises(UserError, match=r"it has module_list.0.weight \[8, 1, 5, 5\].*needs conv1"):
        import_torch(data, tmp_path / "zoo", TorchOptions("cnn:1,8,6,4,10"))


@pytest.mark.parametrize("place", ["nowhere", "empty", "r0", "r0/result.json"])
def test_what_is_no_zoo_is_refused(data: Path, place: str) -> None:
    (data / "empty").mkdir()
    words = {"nowhere": "no such folder", "empty": "is no zoo of checkpoints",
             "r0": "is the folder of one run", "r0/result.json": "is a file"}[place]  # fmt: skip
    with pytest.raises(UserError, match=words):
        import_torch(data / place, data.parent / "zoo", MLP)
