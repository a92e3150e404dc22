"""G.pt's data sets as zoos: whole, damaged, broken off; there and back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.interop.lmdb.export_lmdb import export_gpt
from mole_jax.interop.lmdb.import_lmdb import LmdbOptions, import_gpt
from mole_jax.tasks import networks
from mole_jax.zoo.__main__ import main
from mole_jax.zoo.importing import ingest
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.store import ZooWriter
from mole_jax.zoo.storage.verify import verify
from tests.interop.lmdb import gpt_data

MLP = LmdbOptions("mlp:4,3,2")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return gpt_data.make(tmp_path / "data")


def imported(data: Path, options: LmdbOptions = MLP, name: str = "zoo") -> Zoo:
    import_gpt(data, data.parent / name, options)
    return open_zoo(data.parent / name)


def first_key(folder: Path, position: int = 0) -> str:
    return list(json.loads((folder / "runs.json").read_text())["checkpoints"])[position]


def test_the_example_comes_in_and_goes_out_with_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo, out = str(tmp_path / "zoo"), str(tmp_path / "out")
    arguments = [str(gpt_data.EXAMPLE), "--network=mlp:64,8,5", "--out", zoo]
    assert main(["import-gpt", *arguments]) == 0
    assert "4 runs, 0 left out" in capsys.readouterr().out
    assert main(["verify", zoo]) == 0
    assert "has no recipe" in capsys.readouterr().out
    assert main(["info", zoo]) == 0
    printed = capsys.readouterr().out
    for words in (
        "gpt-lmdb",
        "at steps 0 6 12 18",
        "prompt metric avg_test_loss",
        "avg_train_err",
        "optimizers   unknown",
        "epoch and iteration",
    ):
        assert words in printed
    assert main(["check-metrics", zoo, "--data", f"npz:{gpt_data.TEST_SET}"]) == 0
    assert capsys.readouterr().out.count("largest difference") == 2
    assert main(["export-gpt", zoo, "--out", out]) == 0
    for source in sorted(gpt_data.EXAMPLE.iterdir()):
        written = Path(out) / source.name
        assert gpt_data.contents(written) == gpt_data.contents(source)
        assert (written / "DONE.txt").read_bytes() == (source / "DONE.txt").read_bytes()
        old, new = (json.loads((f / "runs.json").read_text()) for f in (source, written))
        assert new["checkpoints"] == old["checkpoints"]
        assert {k: new["metadata"][k] for k in old["metadata"]} == old["metadata"]
        values = [np.frombuffer(v, "<f4") for k, v in gpt_data.contents(source).items()
                  if not k.endswith(b"_arch")]  # fmt: skip
        assert new["metadata"]["max_parameter_val"] == np.max(values)


@pytest.mark.parametrize("network", gpt_data.SIZES)
def test_every_network_keeps_its_bytes_and_its_metrics(tmp_path: Path, network: str) -> None:
    policy = network.startswith("policy")
    metrics = ("train_ret",) if policy else ("avg_test_err", "avg_test_loss", "avg_train_loss")
    data = gpt_data.make(tmp_path / "data", 3, network=network, epochs=not policy, metrics=metrics)
    zoo = imported(data, LmdbOptions(network))
    assert verify(zoo.path) == []
    assert set(zoo.schema.metrics) == set(metrics)
    assert zoo.schema.steps == (0, 1, 2, 3, 4)  # since every run has iterations of its own
    assert networks.from_json(zoo.schema.network).spec == zoo.schema.spec
    export_gpt(zoo.path, tmp_path / "out")
    for folder in sorted(data.iterdir()):
        assert gpt_data.contents(tmp_path / "out" / folder.name) == gpt_data.contents(folder)
        old, new = (json.loads((d / folder.name / "runs.json").read_text())["checkpoints"]
                    for d in (data, tmp_path / "out"))  # fmt: skip
        assert new == old


def test_a_fused_folder_gives_the_runs_of_single_ones(tmp_path: Path) -> None:
    runs = {name: gpt_data.run(name) for name in ("000000", "000001", "000002", "000003")}
    for name, content in runs.items():
        gpt_data.write(tmp_path / "single" / name, {name: content})
    fused = {name: runs[name] for name in ("000001", "000002")}
    # Fused folders are made of finished runs.
    gpt_data.write(tmp_path / "fused" / "000001_000002", fused, done=False)
    for name in ("000000", "000003"):
        gpt_data.write(tmp_path / "fused" / name, {name: runs[name]})
    single = imported(tmp_path / "single", name="zoo_single")
    zoo = imported(tmp_path / "fused", name="zoo_fused")
    assert zoo.names() == single.names() == list(runs)
    np.testing.assert_array_equal(zoo.parameters(), single.parameters())
    for name in zoo.schema.metrics:
        np.testing.assert_array_equal(zoo.metric(name), single.metric(name))
    for field in ("epoch", "iteration"):
        np.testing.assert_array_equal(zoo.snapshot_field(field), single.snapshot_field(field))


def test_of_a_fused_folder_only_the_damaged_run_is_left_out(tmp_path: Path) -> None:
    runs = {name: gpt_data.run(name) for name in ("000000", "000001", "000002")}
    runs["000001"]["values"][3, 5] = np.inf
    gpt_data.write(tmp_path / "data" / "000000_000001_000002_000003", runs)
    zoo = imported(tmp_path / "data")
    assert zoo.names() == ["000000", "000002"]
    np.testing.assert_array_equal(
        zoo.snapshot_field("iteration", [1])[0],
        [int(key[-8:-3]) for key in runs["000002"]["checkpoints"]],
    )
    reasons = [str(skip) for skip in ingest.read_skips(zoo.path)]
    assert reasons[0].startswith("000001 has NaN or infinity in 000001/ep")
    assert reasons[1] == "000003 is not in runs.json"


def damage_nan(folder: Path) -> None:
    value = np.ones(23, np.float32)
    value[7] = math.nan
    gpt_data.change(folder, first_key(folder, 2), value.tobytes())


def damage_json_metric(folder: Path) -> None:
    checkpoints = json.loads((folder / "runs.json").read_text())["checkpoints"]
    checkpoints[first_key(folder)]["avg_test_loss"] = math.nan
    gpt_data.change_json(folder, checkpoints=checkpoints)


def drop_a_checkpoint(folder: Path) -> None:
    checkpoints = json.loads((folder / "runs.json").read_text())["checkpoints"]
    checkpoints.popitem()
    gpt_data.change_json(folder, checkpoints=checkpoints)


def truncate(folder: Path) -> None:
    file = folder / "data.mdb"
    file.write_bytes(file.read_bytes()[:-4096])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "unfinished": (lambda f: (f / "DONE.txt").unlink(), "is not finished"),
    "NaN": (damage_nan, "has NaN or infinity in"),
    "large": (
        lambda f: gpt_data.change(f, first_key(f), np.full(23, -11, "<f4").tobytes()),
        "has a weight of 11, beyond +-10",
    ),
    "size": (lambda f: gpt_data.change(f, first_key(f), b"1234" * 22), "is 88 bytes, but 23"),
    "odd": (lambda f: gpt_data.change(f, first_key(f), b"12345"), "is 5 bytes"),
    "missing": (lambda f: gpt_data.change(f, first_key(f), None), "has no such key"),
    "arch": (
        lambda f: gpt_data.change(f, first_key(f) + "_arch", np.ones(4, "<f4").tobytes()),
        "_arch says tensors of 1, 1, 1, 1 numbers, not 12, 3, 6, 2",
    ),
    "metric": (damage_json_metric, "avg_test_loss of 000002"),
    "checkpoint": (drop_a_checkpoint, "has 4 checkpoints, but most runs have 5"),
    "huge metric": (
        lambda f: gpt_data.change_json(f, checkpoints={"ep001_it00001.pt": {"loss": 10**400}}),
        "loss of ep001_it00001.pt is not finite",
    ),
    "too large for float32": (
        lambda f: gpt_data.change_json(f, checkpoints={"ep001_it00001.pt": {"loss": 1e300}}),
        "loss of ep001_it00001.pt is not finite",
    ),
    "deep json": (lambda f: (f / "runs.json").write_text("[" * 100_000), "runs.json cannot be"),
    "json": (lambda f: (f / "runs.json").write_text('{"checkpoi'), "runs.json cannot be read"),
    "no json": (lambda f: (f / "runs.json").unlink(), "lacks runs.json"),
    "no data": (lambda f: (f / "data.mdb").unlink(), "lacks data.mdb"),
    "truncated": (truncate, "data.mdb is truncated"),
    "garbage": (lambda f: (f / "data.mdb").write_bytes(b"x" * 9000), "data.mdb cannot be read"),
    "empty": (lambda f: (f / "data.mdb").write_bytes(b""), "data.mdb"),
    "key": (
        lambda f: gpt_data.change_json(f, checkpoints={"000002/last.pt": {"avg_test_loss": 1}}),
        "the key '000002/last.pt'",
    ),
    "no checkpoints": (
        lambda f: gpt_data.change_json(f, checkpoints={}), "has no checkpoints"
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_that_is_no_good_is_left_out_and_named(
    data: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, words = DAMAGES[damage]
    spoil(data / "000002")
    arguments = [str(data), "--network=mlp:4,3,2", "--out", str(data.parent / "zoo")]
    assert main(["import-gpt", *arguments]) == 0
    printed = capsys.readouterr()
    assert "5 runs, 1 left out" in printed.out
    assert "1 run left out:" in printed.err
    assert words in printed.err
    zoo = open_zoo(data.parent / "zoo")
    assert zoo.names() == ["000000", "000001", "000003", "000004", "000005"]
    assert verify(zoo.path) == []
    strict = [*arguments[:-1], str(data.parent / "strict"), "--strict"]
    assert main(["import-gpt", *strict]) == 2
    refusal = capsys.readouterr().err.splitlines()[-1]
    assert refusal.startswith("error: ") and words in refusal and "--strict" in refusal


def test_unfinished_runs_come_in_when_asked_for(data: Path) -> None:
    for folder in data.iterdir():
        (folder / "DONE.txt").unlink()
    with pytest.raises(UserError, match=r"none of its 6 runs .* add --unfinished"):
        import_gpt(data, data.parent / "zoo", MLP)
    assert imported(data, LmdbOptions("mlp:4,3,2", unfinished=True)).n_runs == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (LmdbOptions("mlp:4,2,2"), "does not hold networks mlp:4,2,2"),
        (LmdbOptions("mlp:4,3"), "needs three sizes at least"),
        (LmdbOptions("mlp:4,0,2"), "size below 1"),
        (LmdbOptions("rnn:4,3,2"), "not one that MOLE has"),
        (LmdbOptions("cnn:3,2,4,5"), "does not hold networks cnn"),
        (LmdbOptions("mlp:4,3,2", metric="loss"), "have the metrics avg_test_err, avg_test_loss"),
        (LmdbOptions("mlp:4,3,2", held_out_runs=6), "leaves nothing to train on"),
        (LmdbOptions("mlp:4,3,2", held_out_runs=-1), "must be"),
        (LmdbOptions("mlp:4,3,2", max_weight=0), "must be above 0"),
        (LmdbOptions("mlp:4,3,2", max_weight=math.nan), "must be above 0"),
    ],
)
def test_what_cannot_be_imported_is_refused_before_a_zoo_is_made(
    data: Path, options: LmdbOptions, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        import_gpt(data, data.parent / "zoo", options)
    assert not (data.parent / "zoo").exists()


@pytest.mark.parametrize("place", ["nowhere", "empty", "000000"])
def test_what_is_no_data_set_is_refused(data: Path, place: str) -> None:
    (data / "empty").mkdir()
    words = {"nowhere": "no such folder", "empty": "is not a checkpoint data set",
             "000000": "is the folder of one run"}[place]  # fmt: skip
    with pytest.raises(UserError, match=words):
        import_gpt(data / place, data.parent / "zoo", MLP)


def test_options_say_what_is_held_out_and_what_prompts_speak_of(data: Path) -> None:
    zoo = imported(data, LmdbOptions("mlp:4,3,2", metric="avg_test_err", held_out_runs=2))
    assert zoo.runs["split"].tolist() == ["train"] * 4 + ["S0"] * 2
    assert zoo.schema.prompt_metric == "avg_test_err"
    with pytest.raises(UserError, match=r"another config: .*held_out_runs: 2 -> 0"):
        import_gpt(data, zoo.path, LmdbOptions("mlp:4,3,2", metric="avg_test_err"))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("survives", [0, 1, 3])
@pytest.mark.parametrize("where", ["append", "commit"])
def test_a_killed_import_goes_on_and_ends_with_the_same_zoo(
    tmp_path: Path, survives: int, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LONGEST_SHARD", 2)
    data = gpt_data.make(tmp_path / "data", 9)
    damage_nan(data / "000001")
    damage_nan(data / "000004")
    damage_nan(data / "000008")
    whole = imported(data, name="whole")
    assert (whole.n_runs, whole.schema.runs_per_shard) == (6, 2)
    calls = 0
    real = getattr(ZooWriter, where)

    def killed(writer: ZooWriter, *arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls > survives:
            raise Killed
        real(writer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ZooWriter, where, killed)
        if survives < 3:
            with pytest.raises(Killed):
                import_gpt(data, tmp_path / "zoo", MLP)
            assert open_zoo(tmp_path / "zoo").n_runs == 2 * survives
            assert "import_finished" not in open_zoo(tmp_path / "zoo").schema.provenance
    skips = import_gpt(data, tmp_path / "zoo", MLP)
    assert skips == ingest.read_skips(whole.path) == ingest.read_skips(tmp_path / "zoo")
    assert [skip.name for skip in skips] == ["000001", "000004", "000008"]
    zoo = open_zoo(tmp_path / "zoo")
    assert zoo.names() == whole.names()
    np.testing.assert_array_equal(zoo.parameters(), whole.parameters())
    np.testing.assert_array_equal(zoo.metric("avg_test_loss"), whole.metric("avg_test_loss"))
    assert verify(zoo.path) == []
    # Once more: nothing is left to do, and nothing changes.
    before = (zoo.path / "zoo.json").read_bytes()
    assert import_gpt(data, zoo.path, MLP) == skips
    assert open_zoo(zoo.path).n_runs == 6
    assert (zoo.path / "zoo.json").read_bytes() == before


def test_a_source_that_changed_is_no_resumption(data: Path) -> None:
    imported(data)
    gpt_data.write(data / "000009", {"000009": gpt_data.run("000009")})
    with pytest.raises(UserError, match="run_names differs"):
        import_gpt(data, data.parent / "zoo", MLP)


def test_a_run_that_is_there_twice_counts_once(data: Path) -> None:
    gpt_data.write(data / "copy", {"000000": gpt_data.run("000000")})
    skips = import_gpt(data, data.parent / "zoo", MLP)
    assert [str(skip) for skip in skips] == ["000000 in copy is in the folder 000000, too"]


def test_an_imported_zoo_does_not_grow(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", str(imported(data).path), "--members=3"]) == 2
    assert "was imported" in capsys.readouterr().err
