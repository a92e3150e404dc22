"""The command `python -m mole_jax.predict`: from files to files, and a table between."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
import pytest

import mole_jax
from mole_jax import predict as command
from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.interop.__main__ import main as interop
from mole_jax.interop.network_files import load_network
from mole_jax.sampling.load import Model, Networks
from mole_jax.tasks.networks import Network, torch_layout
from mole_jax.tasks.parameters import ParameterSpec
from mole_jax.tasks.subsets import DataSubset
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter
from tests import tiny, untrained

CONFIG = tiny.tiny_config()
# What the runs of the zoo end with; the best tenth of those for training with 0.2 or less.
LOSSES = np.linspace(0.1, 1.1, 11)


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    network = untrained.write(folder, CONFIG, (8, 8, 1), 3)
    write_zoo(folder / "zoo", network.spec, files.read_json(folder / "train" / "network.json"))
    return folder


def write_zoo(path: Path, spec: ParameterSpec, network: dict[str, Any]) -> None:
    """Eleven training runs, then one that is held out and a failed one, both with loss 0."""
    n_runs, final = len(LOSSES) + 2, np.append(LOSSES, [0.0, 0.0]).astype(np.float32)
    loss = np.stack([np.full(n_runs, 0.01, np.float32), final], axis=1)  # only the end counts
    subset = np.zeros(n_runs, np.int64)
    schema = ZooSchema(
        name="made up",
        spec=spec,
        network=network,
        steps=(0, 10),
        metrics=("validation_loss",),
        tasks=(DataSubset("digits-3of10-0.1.2", (0, 1, 2), "train"),),
        splits={},
        config={},
        provenance={},
        hyperparameters=(),
    )
    batch = RunBatch(
        parameters=np.ones((n_runs, 2, spec.size), np.float32),
        metrics={"validation_loss": loss},
        subset=subset,
        split=["train"] * len(LOSSES) + ["S0", "train"],
        member=np.arange(n_runs),
        seed=subset,
        finite=np.arange(n_runs) < n_runs - 1,
        hyperparameters={},
    )
    ZooWriter.create(path, schema).append(batch)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with digits of three classes: support.npz, and test.npz which marks others."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(labels == c)[:9] for c in (3, 5, 8)])
    data = {"image": images[rows].reshape(-1, 8, 8), "label": np.repeat(np.arange(3), 9)}
    folder = tmp_path_factory.mktemp("examples")
    np.savez(folder / "support.npz", **{name: x[::3] for name, x in data.items()})
    np.savez(folder / "marked.npz", **data, test=np.arange(27) % 3 > 0)
    np.savez(folder / "four.npz", image=data["image"], label=np.arange(27) % 4)
    np.savez(folder / "small.npz", image=data["image"][:, 1:], label=data["label"])
    np.savez(folder / "all_test.npz", **data, test=np.ones(27, bool))
    np.savez(folder / "no_image.npz", label=data["label"])
    return folder


@pytest.fixture(scope="module")
def loaded(workdir: Path) -> Model:
    return mole_jax.load(workdir, steps=2)


@pytest.fixture
def quick(loaded: Model, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Load once for many tests; gives the options that the command asked for."""
    asked: list[dict[str, Any]] = []

    def load(workdir: Path, **options: Any) -> Model:
        asked.append({"workdir": workdir, **options})
        return loaded

    monkeypatch.setattr(mole_jax, "load", load)
    return asked


@pytest.fixture
def ask(workdir: Path, examples: Path, tmp_path: Path, capsys: Any) -> Callable[..., str]:
    """Run the command, which has to succeed, with a support set; returns what it prints."""

    def run(*arguments: str, out: str = "net.safetensors", support: str = "support") -> str:
        base = [str(workdir), f"--support=npz:{examples / support}.npz", f"--out={tmp_path / out}"]
        code = command.main([*base, *arguments])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return printed.out

    return run


def test_networks_are_predicted_written_and_measured(
    ask: Callable[..., str], quick: list[dict[str, Any]], examples: Path, tmp_path: Path
) -> None:
    marked = f"npz:{examples / 'marked.npz'}"
    page = ask("-n", "3", "--steps=2", f"--test={marked}", "--target_loss=0.3")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"net-{i}.{kind}" for i in range(3) for kind in ("safetensors", "json")
    }
    rows = [line.split() for line in page.splitlines() if ".safetensors" in line]
    assert "support   9 images of 3 classes" in page
    assert f"test      18 images of {marked}" in page
    assert "asked     validation loss 0.3, as given" in page
    assert "inputs    pixel * 0.25 - 2" in page
    assert "model     diffusion, 2 steps of ddim, seed 0" in page

    # Anybody who reads a file and its card gets the accuracy that was printed.
    stored = np.load(examples / "marked.npz")
    x, y = (stored[name][stored["test"]] for name in ("image", "label"))
    probabilities = []
    for i, row in enumerate(rows):
        found = load_network(tmp_path / f"net-{i}.safetensors")
        task, metrics = found.card["task"], found.card["metrics"]
        inputs = x.reshape(len(x), -1) * task["scale"] + task["shift"]
        logits = np.asarray(found.network.apply(found.params, inputs.astype(np.float32)))
        accuracy = (logits.argmax(-1) == y).mean()
        assert metrics["test_accuracy"] == pytest.approx(accuracy)
        assert row[1:] == [
            f"{metrics['support_loss']:.4f}",
            f"{metrics['test_loss']:.4f}",
            f"{100 * accuracy:.1f}",
            "%",
        ]
        assert found.card["source"]["asked"] == "validation loss 0.3, as given"
        probabilities.append(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    together = 100 * (np.mean(probabilities, axis=0).argmax(-1) == y).mean()
    assert re.search(rf"^all, probabilities averaged +{together:.1f} %$", page, re.MULTILINE)
    accuracies = [float(row[3]) for row in rows]
    assert re.search(rf"^mean .* {np.mean(accuracies):.1f} %$", page, re.MULTILINE)


def test_what_is_asked_for_by_default_is_what_the_best_tenth_of_the_zoo_reaches(
    ask: Callable[..., str], quick: list[dict[str, Any]], workdir: Path, tmp_path: Path
) -> None:
    page = ask()
    assert "asked     validation loss 0.2: the best 10% of the zoo's 11 training runs" in page
    assert quick == [{"workdir": workdir, "objective": "diffusion", "checkpoint": "last"}]
    assert "mean" not in page
    # One network has no number; both forms of a file hold the same one; a folder is made.
    ask(out="new/net.npz")
    same = load_network(tmp_path / "net.safetensors").params["output"]["kernel"]
    np.testing.assert_array_equal(np.load(tmp_path / "new" / "net.npz")["output/kernel"], same)


def test_flags_reach_the_sampler_and_the_key(
    ask: Callable[..., str],
    quick: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask("--checkpoint=7", "--sampler=heun", "--steps=3", out="0.npz")
    assert quick[-1] | {"workdir": 0} == {
        "workdir": 0,
        "objective": "diffusion",
        "checkpoint": 7,
        "name": "heun",
        "steps": 3,
    }
    monkeypatch.setenv("HOME", str(tmp_path))
    ask("--seed=1", "--out=~/1.npz")  # which the shell leaves to us
    ask("--target_loss=1.5", out="2.npz")
    found = [np.load(tmp_path / f"{i}.npz")["output/kernel"] for i in range(3)]
    assert not np.allclose(found[0], found[1])
    assert not np.allclose(found[0], found[2])


@pytest.fixture(scope="module")
def aspiring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workdir whose model may be asked for its best; there is no zoo that would say a loss."""
    folder = tmp_path_factory.mktemp("aspiring")
    untrained.write(folder, tiny.tiny_config(training__best_prompts=0.3), (8, 8, 1), 3)
    return folder


def test_a_model_that_learned_it_is_asked_for_its_best(
    aspiring: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [str(aspiring), f"--support=npz:{examples / 'support.npz'}", "--steps=2"]
    assert command.main([*base, f"--out={tmp_path / 'net.safetensors'}"]) == 0
    printed = capsys.readouterr()
    assert "asked     as good as the model can" in printed.out
    assert "warning" not in printed.err
    card = load_network(tmp_path / "net.safetensors").card
    assert card["source"]["asked"] == "as good as the model can"
    assert command.main([*base, f"--out={tmp_path / 'other.npz'}", "--target_loss=0.5"]) == 0
    best = load_network(tmp_path / "net.safetensors").params["output"]["kernel"]
    assert not np.allclose(best, np.load(tmp_path / "other.npz")["output/kernel"])


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workdir with the learners that write in one pass; there is no zoo."""
    folder = tmp_path_factory.mktemp("rivals")
    config = tiny.tiny_config(
        training__best_prompts=0.3, training__regression_steps=3, training__end_to_end_steps=5
    )
    untrained.write(folder, config, (8, 8, 1), 3, ("regression", "end_to_end"))
    return folder


@pytest.mark.parametrize("objective", ["regression", "end_to_end"])
def test_every_learner_that_was_trained_may_be_asked(
    objective: str, rivals: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [str(rivals), f"--support=npz:{examples / 'support.npz'}", f"--objective={objective}"]
    assert command.main([*base, f"--out={tmp_path / 'net.safetensors'}", "--seed=4"]) == 0
    page = capsys.readouterr().out
    assert f"model     {objective}, one pass, seed 4" in page
    assert "asked     as good as the model can" in page
    source = load_network(tmp_path / "net.safetensors").card["source"]
    assert [source[name] for name in ("objective", "sampler", "steps")] == [objective, None, 1]
    # What it writes is what the same learner writes in Python.
    stored = np.load(examples / "support.npz")
    model = mole_jax.load(rivals, objective=objective)
    nets = model.predict(stored["image"], stored["label"], key=jax.random.key(4))
    found = load_network(tmp_path / "net.safetensors").params["output"]["kernel"]
    np.testing.assert_array_equal(nets.params["output"]["kernel"][0], found)
    assert f"({objective}, " in repr(model) and "in one pass" in repr(model)

    for flag in ("--steps=3", "--sampler=heun"):
        assert command.main([*base, f"--out={tmp_path / 'other.npz'}", flag]) == 2
        assert "in one pass: leave --sampler and --steps out" in capsys.readouterr().err
    assert not (tmp_path / "other.npz").exists()


def test_a_model_that_looks_at_no_target_refuses_one(
    rivals: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [str(rivals), f"--support=npz:{examples / 'support.npz'}", "--objective=end_to_end"]
    assert command.main([*base, f"--out={tmp_path / 'net.npz'}", "--target_loss=0.1"]) == 2
    assert "the end_to_end model looks at no target" in capsys.readouterr().err


def test_marked_images_are_kept_out_of_the_support_set(
    ask: Callable[..., str], quick: list[dict[str, Any]], examples: Path
) -> None:
    page = ask(f"--test=npz:{examples / 'support.npz'}", support="marked")
    assert "support   9 images" in page
    assert "test      9 images" in page  # none of that file is marked: it is all test


def test_a_start_may_be_any_file_of_a_network(
    ask: Callable[..., str], quick: list[dict[str, Any]], workdir: Path, tmp_path: Path
) -> None:
    """What export-network, import-network and this command write, in both forms."""
    exported, imported = (str(tmp_path / name) for name in ("run.safetensors", "run.npz"))
    assert interop(["export-network", str(workdir / "zoo"), "--run=0", f"--out={exported}"]) == 0
    assert interop(["import-network", exported, f"--out={imported}"]) == 0
    for i, start in enumerate((exported, imported)):
        ask(f"--start={start}", out=f"{i}.npz")
    ask(out="fresh.npz")
    one, two, fresh = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("0", "1", "fresh"))
    assert tiny.equal_trees(one, two)
    assert not np.allclose(one["output/kernel"], fresh["output/kernel"])


@pytest.fixture
def refused(
    workdir: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run the command, which has to refuse in one line and leave nothing; returns the line."""

    def run(*changes: str) -> str:
        fill = {"T": tmp_path, "E": examples, "W": workdir}
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        base = {"": str(workdir), "--support": f"npz:{examples}/support.npz"}
        base |= {"--out": f"{tmp_path}/net.safetensors"}
        for change in changes:
            name, _, value = change.format(**fill).partition("=")
            base |= {name: value} if name.startswith("-") else {"": name}
        arguments = [f"{name}={value}" if name else value for name, value in base.items()]
        assert command.main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        *before_it, line = err.splitlines()
        assert line.startswith("error: "), err
        assert all(other.startswith("warning: predict: ") for other in before_it), err
        assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        return line

    return run


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["-n=0"], "-n 0: ask for 1 network or more"),
        (["--seed=-1"], r"--seed=-1 must be a whole number in 0..4294967295"),
        (["--seed=4294967296"], r"--seed=4294967296 must be a whole number in 0..4294967295"),
        (["--out={T}/net.pt"], r"net.pt must end in .safetensors or .npz"),
        (["--out={T}/net"], r"net must end in"),
        (["--out={E}/support.npz/net.npz"], "support.npz is a file, not a folder"),
        (["--out={T}/made.npz"], "made.npz is a folder"),
        (["--out={E}/support.npz"], "support.npz would be written over, and it is read"),
        (["--out={E}/test.npz", "--test=npz:{E}/test.npz"], "test.npz would be written over"),
        (["--out={E}/a.npz", "-n=2", "--start={E}/a-1.npz"], "a-1.npz would be written over"),
        (["--support=npz:{E}/nowhere.npz"], "--support: .*nowhere.npz: no such file"),
        (["--support=npz:{E}/no_image.npz"], "--support: .*no array 'image'"),
        (["--support=nothing"], "--support: .*'nothing' is unknown"),
        (["--support=npz:{E}/four.npz"], "it has 4 classes, and the networks have 3"),
        (["--support=npz:{E}/small.npz"], "images are 7 x 8 x 1, and the networks take 8 x 8 x 1"),
        (["--support=npz:{E}/all_test.npz"], "marks all of its images as test images"),
        (["--test=npz:{E}/four.npz"], "--test=.* it has 4 classes"),
        (["--test=npz:{E}/nowhere.npz"], "--test: .*no such file"),
        (["--target_loss=-1"], "target_loss=-1.0"),
        (["--target_loss=nan"], "target_loss=nan"),
        (["--target_return=3"], "target_return is for policies"),
        (["--target_return=3", "--target_loss=1"], "give one of"),
        (["--start={E}/nowhere.safetensors"], "no file .*nowhere.safetensors"),
        (["--start={E}/nowhere.npz"], "no file .*nowhere.npz"),
        (["--start={E}/support.npz"], "support.npz: start: label must be floating-point numbers"),
        (["--start={T}/net.pt"], "net.pt must end in"),
        (["--start={T}/text.npz"], "text.npz cannot be read as npz"),
        (["--start={T}/array.npz"], "is one array"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(
    changes: list[str],
    message: str,
    refused: Callable[..., str],
    quick: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    (tmp_path / "made.npz").mkdir()
    (tmp_path / "text.npz").write_text("<html>")
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    (tmp_path / "net.safetensors").write_text("of before")
    assert re.search(message, refused(*changes))


def test_what_loading_refuses_is_said(refused: Callable[..., str]) -> None:
    assert "there is no folder" in refused("{T}/nowhere")
    assert "no checkpoint 3; there are" in refused("--checkpoint=3")
    assert "sampling.name='euler' is unknown" in refused("--sampler=euler")
    assert "sampling.steps=0" in refused("--steps=0")
    assert "no regression model was trained" in refused("--objective=regression")
    assert "objective='reptile' is unknown; there are" in refused("--objective=reptile")


def test_without_a_zoo_the_loss_has_to_be_given(
    workdir: Path, refused: Callable[..., str], quick: list[dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "imported"
    (folder / "train").mkdir(parents=True)
    network = (workdir / "train" / "network.json").read_bytes()
    (folder / "train" / "network.json").write_bytes(network)
    assert "--target_loss is missing" in refused(str(folder))


def test_a_disk_that_refuses_is_said(
    refused: Callable[..., str], quick: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_npz", full)
    assert "cannot be written (No space left on device)" in refused("--out={T}/net.npz")


def test_policies_come_from_transitions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(model: Model, x: np.ndarray, y: None, *, n: int, **asked: Any) -> Networks:
        np.testing.assert_array_equal(x, transitions)
        assert (asked["target_loss"], asked["target_return"]) == (None, 100)
        network = model.learner.network
        flat = np.zeros((n, network.spec.size), np.float32)
        described = json.dumps(model.description)
        return Networks(network.spec.unflatten(flat), None, described, model.inputs)

    monkeypatch.setattr(Model, "predict", predict)  # what it does has tests of its own
    config = tiny.tiny_config(
        data__source="env:cartpole",
        network__name="gaussian_policy",
        network__hidden=(3,),
        metamodel__pairwise=False,
        training__permute_labels=0.0,
        training__permute_units=False,
    )
    network = untrained.write(tmp_path / "work", config, (4,), 1)
    policies = mole_jax.load(tmp_path / "work", steps=1)
    monkeypatch.setattr(mole_jax, "load", lambda *_, **__: policies)
    transitions = np.random.default_rng(0).normal(size=(6, network.example_size))
    np.savez(tmp_path / "seen.npz", transitions=transitions)
    np.savez(tmp_path / "other.npz", observations=transitions)
    base = [str(tmp_path / "work"), f"--out={tmp_path / 'policy.safetensors'}"]
    seen = f"--support=npz:{tmp_path / 'seen.npz'}"
    assert command.main([*base, seen, "--target_return=100", "-n", "2"]) == 0
    page = capsys.readouterr().out
    assert "support   6 transitions" in page
    assert "asked     return 100, as given" in page
    assert load_network(tmp_path / "policy-1.safetensors").network.name == "gaussian_policy"
    for arguments, message in (
        ([f"--support=npz:{tmp_path / 'other.npz'}"], "it has observations; a policy's support"),
        (["--support=digits"], "an array transitions [m, O + A + O]"),
        ([seen, "--test=digits"], "--test is of images"),
    ):
        assert command.main([*base, *arguments, "--target_return=100"]) == 2
        assert message in capsys.readouterr().err


def test_networks_without_a_layout_in_pytorch_are_refused_before_they_are_predicted(
    refused: Callable[..., str], quick: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_layout(network: Network) -> NoReturn:
        raise UserError("a vit has no PyTorch layout here")

    monkeypatch.setattr(torch_layout, "layout", no_layout)
    assert "no PyTorch layout here; name a file that ends in .npz with --out" in refused()


def test_the_process_refuses_without_traceback_and_without_starting_jax(tmp_path: Path) -> None:
    code = (
        "import sys; from mole_jax.predict import main;"
        "code = main(['w', '--support=digits', '--out=net.pt']);"
        "assert 'jax' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: --out=net.pt must end in .safetensors or .npz\n"


def test_help_fits_the_terminal_and_names_every_flag(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 100
    for flag in ("--support", "--test", "--target_loss", "--start", "--checkpoint", "--sampler"):
        assert flag in page
