"""One tiny meta-model with random parameters, its zoo, and labelled examples, as files.

`ask` runs the command and `refused` runs what has to fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mole_jax
from mole_jax import predict as command
from mole_jax.core.storage import files
from mole_jax.sampling.load import Model
from mole_jax.tasks.parameters import ParameterSpec
from mole_jax.tasks.subsets import DataSubset
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter
from tests import tiny, untrained

CONFIG = tiny.tiny_config()
# What the runs of the zoo end with; the best tenth of those for training with 0.2 or less.
LOSSES = np.linspace(0.1, 1.1, 11)


@pytest.fixture(scope="package", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
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
