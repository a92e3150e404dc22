"""Checkpoint files of PyTorch are read and written alike without it, and nothing else is run."""

from __future__ import annotations

import importlib.util
import io
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
from mole_jax.core.storage.torch_file import Tensor, TorchFile
from tests.interop.conftest import CASES

PUBLISHED = CASES / "mlp_chunk.pt"
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)


def read(path: Path) -> Any:
    def numbers(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: numbers(item) for name, item in value.items()}
        return opened.read(value) if isinstance(value, Tensor) else value

    with TorchFile(path) as opened:
        return numbers(opened.content)


def test_a_checkpoint_of_the_reference() -> None:
    found = read(PUBLISHED)
    assert set(found) == {"G", "G_ema", "epoch"}
    with np.load(CASES / "mlp_chunk.npz") as case:
        state = {name.removeprefix("state/"): case[name] for name in case if "state/" in name}
    for name, value in state.items():
        np.testing.assert_array_equal(found["G"][name], value)
    assert set(found["G"]) == set(found["G_ema"]) == set(state)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    content = {
        "G": {"a.weight": rng.normal(size=(3, 4)).astype("float32"), "b": np.zeros(0, "float32")},
        "epoch": -70_000,
        "scalar": np.array(rng.normal(), np.float32),
        "text": "µ",
        "yes": True,
    }
    torch_file.write(tmp_path / "x.pt", content)
    found = read(tmp_path / "x.pt")
    np.testing.assert_array_equal(found["G"].pop("a.weight"), content["G"]["a.weight"])
    assert found["G"]["b"].shape == (0,)
    assert found["scalar"] == content["scalar"] and found["scalar"].shape == ()
    assert (found["epoch"], found["text"], found["yes"]) == (-70_000, "µ", True)
    with pytest.raises(TypeError, match="float64"):
        torch_file.write(tmp_path / "y.pt", {"x": np.float64(1)})
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


@needs_torch
def test_pytorch_reads_what_is_written(tmp_path: Path) -> None:
    import torch

    numbers = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    torch_file.write(tmp_path / "x.pt", {"G": {"w": numbers}, "epoch": 300})
    found = torch.load(tmp_path / "x.pt", weights_only=True)
    assert found["epoch"] == 300
    np.testing.assert_array_equal(found["G"]["w"].numpy(), numbers)


@needs_torch
def test_what_pytorch_writes_is_read(tmp_path: Path) -> None:
    import torch

    x = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    content = {
        "transposed": x.T,
        "part": x[1:3, ::2],
        "parameter": torch.nn.Parameter(x + 1),
        "half": x.to(torch.bfloat16),
        "whole": torch.tensor([[1, 2]]),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"lr": 0.1}]},
    }
    torch.save(content, tmp_path / "x.pt")
    found = read(tmp_path / "x.pt")
    for name in ("transposed", "part", "whole"):
        np.testing.assert_array_equal(found[name], content[name].numpy())
    np.testing.assert_array_equal(found["parameter"], x.numpy() + 1)
    np.testing.assert_array_equal(found["half"].astype("float32"), x.numpy())
    assert found["optimizer"]["groups"] == [{"lr": 0.1}]


class Evil:
    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


def archive(path: Path, pickled: bytes, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", pickled)
        for name, data in more.items():
            file.writestr(f"x/{name}", data)
    return path


@pytest.mark.parametrize(
    ("call", "arguments"),
    [(os.system, ("touch ran",)), (eval, ("open('ran', 'w')",)), (io.FileIO, ("ran", "w"))],
)
def test_nothing_but_tensors_is_made(
    call: Callable[..., Any],
    arguments: tuple,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = archive(tmp_path / "x.pt", pickle.dumps({"G": Evil(call, *arguments)}, protocol=2))
    with pytest.raises(UserError, match="which is no part of a tensor"):
        TorchFile(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["float64", "float32", "int64", "bool", "float16"])
def test_numbers_of_numpy_are_read_as_numbers(kind: str, tmp_path: Path) -> None:
    """An optimizer's state has them, where the learning rate was computed with NumPy."""
    value = np.dtype(kind).type(1.5)
    for protocol in (2, 4):
        content = {"optim": {"lr": value}, "raw": b"\xff\x00"}
        path = archive(tmp_path / f"{protocol}.pt", pickle.dumps(content, protocol))
        with TorchFile(path) as file:
            assert file.content == {"optim": {"lr": value.item()}, "raw": b"\xff\x00"}
            assert type(file.content["optim"]["lr"]) is type(value.item())


def test_numbers_that_are_none(tmp_path: Path) -> None:
    whole = pickle.dumps({"lr": np.float64(0.1)}, 2)
    for old, new in (
        (b"f8", b"O8"),
        (b"f8", b"V8"),
        (b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00>"),
    ):
        assert old in whole
        with pytest.raises(UserError, match="is damaged"):
            TorchFile(archive(tmp_path / "x.pt", whole.replace(old, new)))


def tensor(size: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """A pickle of a lone tensor that says of itself what it likes."""
    p = lambda x: torch_file._pickled(x, [])  # noqa: E731
    storage = b"(" + p("storage") + b"ctorch\nFloatStorage\n" + p("0") + p("cpu") + p(size) + b"tQ"
    rest = p(offset) + p(shape) + p(strides) + p(False)
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tR."


@pytest.mark.parametrize(
    ("size", "offset", "shape", "strides"),
    [
        (4, 1, (4,), (1,)),  # beyond the end
        (4, 0, (2, 2), (3, 1)),
        (4, -1, (2,), (1,)),
        (4, 3, (2,), (-1,)),
        (4, 0, (10**6, 10**6), (0, 0)),  # far more than there is
        (5, 0, (4,), (1,)),  # more than the archive has
        (2**60, 0, (4,), (1,)),
    ],
)
def test_a_tensor_that_reaches_beyond_its_numbers(
    size: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], tmp_path: Path
) -> None:
    pickled = tensor(size, offset, shape, strides)
    path = archive(tmp_path / "x.pt", pickled, **{"data/0": bytes(16)})
    with TorchFile(path) as file, pytest.raises(UserError, match="is damaged"):
        file.read(file.content)


def test_files_that_are_none(tmp_path: Path) -> None:
    def refused(message: str, data: bytes) -> None:
        (tmp_path / "x.pt").write_bytes(data)
        with pytest.raises(UserError, match=message):
            read(tmp_path / "x.pt")

    whole = PUBLISHED.read_bytes()
    refused("is no checkpoint of PyTorch 1.6", b"")
    refused("is no checkpoint of PyTorch 1.6", whole[:5000])
    at = whole.index(b"mlp_chunk/data/5") + 200  # among the numbers
    refused("is damaged", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(UserError, match="there is no file"):
        TorchFile(tmp_path / "nowhere.pt")
    with pytest.raises(UserError, match="is a folder"):
        TorchFile(tmp_path)
    for content, message in ((b"\x80\x02", "is damaged"), (b"no pickle", "is damaged")):
        with pytest.raises(UserError, match=message):
            TorchFile(archive(tmp_path / "y.pt", content))
    with pytest.raises(UserError, match="byte order"):
        TorchFile(archive(tmp_path / "z.pt", b"\x80\x02N.", byteorder=b"big"))
