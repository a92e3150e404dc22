"""Networks and zoos as safetensors, there and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from mole_jax.core.errors import UserError
from mole_jax.core.storage.tensors import read_tensors
from mole_jax.interop import network_files, zoo_files
from mole_jax.interop.__main__ import main
from mole_jax.interop.lmdb.import_lmdb import LmdbOptions, import_gpt
from mole_jax.interop.network_files import load_network, save_network
from mole_jax.interop.zoo_files import export_zoo, import_zoo
from mole_jax.tasks.networks import shorthand
from mole_jax.tasks.networks.torch_layout import layout
from mole_jax.zoo.importing import ingest
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter
from mole_jax.zoo.storage.verify import verify
from tests.interop.lmdb import gpt_data
from tests.zoo.conftest import example_batch, example_schema

MLP = shorthand.parse("mlp:5,4,3")


def own_schema(**changes: object) -> ZooSchema:
    return example_schema(spec=MLP.network.spec, network=MLP.to_json(), **changes)


def own_batch(n_runs: int, schema: ZooSchema) -> RunBatch:
    """Runs of which one is not finite, and therefore not marked so."""
    batch = example_batch(n_runs, schema=schema)
    finite = np.ones(n_runs, bool)
    finite[1] = False
    batch.parameters[1, 2, 3] = np.nan
    return dataclasses.replace(batch, finite=finite)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    schema = own_schema()
    ZooWriter.create(tmp_path / "zoo", schema).append(own_batch(11, schema))
    return tmp_path / "zoo"


def assert_same(a: Zoo, b: Zoo) -> None:
    assert a.schema.to_json() == b.schema.to_json()
    np.testing.assert_array_equal(a.parameters(), b.parameters())
    assert set(a.runs) == set(b.runs)
    for name in a.runs:
        np.testing.assert_array_equal(a.runs[name], b.runs[name])
    for name in a.schema.metrics:
        np.testing.assert_array_equal(a.metric(name), b.metric(name))
    for name in a.schema.snapshot_fields:
        np.testing.assert_array_equal(a.snapshot_field(name), b.snapshot_field(name))


@pytest.mark.parametrize("text", gpt_data.SIZES)
def test_a_network_comes_back_with_its_card(tmp_path: Path, text: str) -> None:
    described = shorthand.parse(text)
    spec = described.network.spec
    flat = np.random.default_rng(0).normal(size=spec.size).astype("f4")
    file = tmp_path / "net.safetensors"
    save_network(
        file, described.to_json(), spec.unflatten(flat), metrics={"test_loss": 0.25},
        source={"zoo": "here"},
    )  # fmt: skip
    found = load_network(file)
    np.testing.assert_array_equal(found.network.spec.flatten(found.params), flat)
    card = json.loads((tmp_path / "net.json").read_text())
    assert card["metrics"] == {"test_loss": 0.25}
    assert card["source"] == {"zoo": "here"}
    assert card["parameters"] == spec.size
    stored = safetensors.numpy.load_file(file)
    assert {name: list(t.shape) for name, t in stored.items()} == card["state_dict"]
    (tmp_path / "net.json").unlink()
    with pytest.raises(UserError, match="say with --network"):
        load_network(file)
    again = load_network(file, text)
    np.testing.assert_array_equal(spec.flatten(again.params), flat)


def test_the_commands_for_networks(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, npz = str(tmp_path / "net.safetensors"), str(tmp_path / "net.npz")
    command = ["export-network", str(own), "--run=3", "--snapshot=1"]
    assert main([*command, "--out", out]) == 0
    assert main(["import-network", out, "--out", npz]) == 0
    zoo = open_zoo(own)
    spec, flat = zoo.schema.spec, zoo.parameters([3], [1])[0, 0]
    with np.load(npz) as stored:
        for field in spec.fields:
            np.testing.assert_array_equal(
                stored[field.path], flat[field.slice].reshape(field.shape)
            )
    card = json.loads((tmp_path / "net.json").read_text())
    assert card["source"]["step"] == 10
    assert card["metrics"]["train_loss"] == zoo.metric("train_loss", [3])[0, 1]
    assert card["task"]["id"] == zoo.schema.tasks[zoo.runs["subset"][3]].id
    capsys.readouterr()
    for wrong, words in (
        (["--run=11", "--out", out], "has the runs 0..10"),
        (["--run=x", "--out", out], "has the runs 0..10"),
        (["--run=3", "--snapshot=3", "--out", out], "has the snapshots 0..2"),
        (["--run=3", "--out", npz], "must end in .safetensors"),
    ):
        assert main(["export-network", str(own), *wrong]) == 2
        assert words in capsys.readouterr().err


def test_files_that_will_not_do_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    with pytest.raises(UserError, match="there is no file"):
        load_network(file, "mlp:5,4,3")
    file.write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_network(file, "mlp:5,4,3")
    flat = np.zeros(MLP.network.spec.size, "f4")
    save_network(file, MLP.to_json(), MLP.network.spec.unflatten(flat))
    with pytest.raises(UserError, match=r"fc1.weight has shape \[4, 5\]"):
        load_network(file, "mlp:5,3,3")
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_network(file)
    flat[3] = np.inf
    save_network(file, MLP.to_json(), MLP.network.spec.unflatten(flat))
    with pytest.raises(UserError, match="NaN or infinite"):
        load_network(file)
    (tmp_path / "net.json").write_text('{"format": "mine"}')
    with pytest.raises(UserError, match="is not a card of a network"):
        load_network(file)


def drawn() -> dict[str, np.ndarray]:
    flat = np.random.default_rng(0).normal(size=MLP.network.spec.size).astype("f4")
    return layout(MLP.network).state_dict(flat)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: np.clip(np.round(x * 100), -127, 127).astype("i1"), "type int8"),
        (lambda x: x > 0, "type bool"),
        (lambda x: x.astype("i8"), "type int64"),
        (lambda x: x.astype("f8") * 1e300, "has NaN or infinite numbers"),
        (lambda x: x[None], "have a leading axis of 1; take it off"),
        (lambda x: np.stack([x, x]), "holds 2 networks, not one; import-zoo reads"),
    ],
)
def test_numbers_that_are_no_networks_weights_are_refused(
    tmp_path: Path,
    change: Callable[[np.ndarray], np.ndarray],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({k: change(v) for k, v in drawn().items()}, file)
    command = ["import-network", str(file), "--network=mlp:5,4,3"]
    assert main([*command, "--out", str(tmp_path / "x.npz")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1
    assert str(file) in told and words in told
    assert not (tmp_path / "x.npz").exists()


def test_complex_tensors_and_folders_are_named(tmp_path: Path) -> None:
    torch, file = pytest.importorskip("torch"), tmp_path / "x.safetensors"
    from safetensors.torch import save_file

    tensors = {name: torch.from_numpy(tensor) for name, tensor in drawn().items()}
    save_file(tensors | {"fc2.bias": torch.ones(3, dtype=torch.complex64)}, file)
    with pytest.raises(UserError, match=r"x.safetensors: fc2.bias .* type (complex64|C64)"):
        load_network(file, "mlp:5,4,3")
    with pytest.raises(UserError, match="is a folder"):
        load_network(tmp_path, "mlp:5,4,3")


def test_prefixes_and_sequential_names_come_in(tmp_path: Path) -> None:
    file, tensors = tmp_path / "x.safetensors", drawn()
    wanted = layout(MLP.network).from_state_dict(tensors, "here")
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    sequential = dict(zip(names, tensors.values(), strict=True))
    for found in (tensors, sequential):
        stored = {f"_orig_mod.module.{name}": tensor for name, tensor in found.items()}
        safetensors.numpy.save_file(stored, file)
        params = load_network(file, "mlp:5,4,3").params
        np.testing.assert_array_equal(MLP.network.spec.flatten(params), wanted)


def test_a_zoo_of_whole_numbers_is_refused(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_zoo(own, out)
    file = zoo_files.run_file(out, 2)
    tensors, metadata = read_tensors(file)
    safetensors.numpy.save_file(
        tensors | {"fc1.bias": tensors["fc1.bias"].astype("i4")}, file, metadata
    )
    with pytest.raises(UserError, match=r"000002.safetensors: fc1.bias holds .* type int32"):
        import_zoo(out, tmp_path / "back")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_own_zoo_comes_back_the_same(
    tmp_path: Path, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = own_schema(dtype=dtype)
    ZooWriter.create(tmp_path / "zoo", schema).append(own_batch(5, schema))
    out, back = str(tmp_path / "out"), str(tmp_path / "back")
    assert main(["export-zoo", str(tmp_path / "zoo"), "--out", out]) == 0
    assert main(["import-zoo", out, "--out", back]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{out}: 5 runs", f"{back}: 5 runs"]
    assert_same(open_zoo(tmp_path / "zoo"), open_zoo(back))
    assert verify(back) == []


def test_a_zoo_without_a_usable_run_comes_in_but_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = own_schema()
    failed = dataclasses.replace(own_batch(5, schema), finite=np.zeros(5, bool))
    ZooWriter.create(tmp_path / "zoo", schema).append(failed)
    out, back = str(tmp_path / "out"), str(tmp_path / "back")
    assert main(["export-zoo", str(tmp_path / "zoo"), "--out", out]) == 0
    assert main(["import-zoo", out, "--out", back]) == 2
    assert "runs to train on can be used" in capsys.readouterr().err
    assert open_zoo(back).n_runs == 5


def test_an_imported_zoo_comes_back_the_same(tmp_path: Path) -> None:
    import_gpt(gpt_data.make(tmp_path / "data", 3), tmp_path / "zoo", LmdbOptions("mlp:4,3,2"))
    export_zoo(tmp_path / "zoo", tmp_path / "out")
    import_zoo(tmp_path / "out", tmp_path / "back")
    assert_same(open_zoo(tmp_path / "zoo"), open_zoo(tmp_path / "back"))


class Killed(BaseException):
    pass


def breaking(function: Callable[..., object], after: int) -> Callable[..., object]:
    left = after

    def broken(*arguments: object, **named: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return function(*arguments, **named)

    return broken


def test_what_was_broken_off_goes_on(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    with monkeypatch.context() as patch:
        patch.setattr(zoo_files, "write_bytes", breaking(zoo_files.write_bytes, 4))
        with pytest.raises(Killed):
            export_zoo(own, out)
    with pytest.raises(UserError, match=r"is not whole: .*000004.* is missing, one of 11 runs"):
        import_zoo(out, back)
    assert not back.exists()
    assert export_zoo(own, out) == 11
    with monkeypatch.context() as patch:
        patch.setattr(ZooWriter, "append", breaking(ZooWriter.append, 1))
        with pytest.raises(Killed):
            import_zoo(out, back)
    assert open_zoo(back).n_runs == 8  # a shard
    assert import_zoo(out, back) == 11
    assert_same(open_zoo(own), open_zoo(back))
    assert not (back / ingest.SKIPPED).exists()


def test_a_damaged_file_is_named(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_zoo(own, out)
    file = zoo_files.run_file(out, 2)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"000002\.safetensors cannot be read"):
        import_zoo(out, tmp_path / "back")
    tensors = safetensors.numpy.load_file(zoo_files.run_file(out, 3))
    file.write_bytes(safetensors.numpy.save(tensors, metadata={"format": "pt"}))
    with pytest.raises(UserError, match=r"000002\.safetensors is damaged: 'run'"):
        import_zoo(out, tmp_path / "back")
    (out / zoo_files.CARD).write_text("{}")
    with pytest.raises(UserError, match="is not a card of a zoo"):
        import_zoo(out, tmp_path / "back")
    with pytest.raises(UserError, match="is not empty"):
        export_zoo(own, out)


def test_a_network_that_torch_wrote_comes_in(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.ModuleDict({"fc1": torch.nn.Linear(5, 4), "fc2": torch.nn.Linear(4, 3)})
    state = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    file = tmp_path / "torch.safetensors"
    safetensors.numpy.save_file(state, file)
    found = network_files.load_network(file, "mlp:5,4,3")
    x = np.random.default_rng(0).normal(size=(6, 5)).astype("f4")
    with torch.no_grad():
        expected = module["fc2"](torch.relu(module["fc1"](torch.from_numpy(x)))).numpy()
    np.testing.assert_allclose(found.network.apply(found.params, x), expected, rtol=1e-5, atol=1e-6)
