"""Loading a model changes nothing in its workdir, whatever goes wrong."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import mole_jax
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage import checkpoint_files, files
from mole_jax.sampling.load import Model
from tests import tiny
from tests.sampling.conftest import predict, untrained
from tests.tiny import hashes

# What may be raised while a workdir is read, and has nothing to do with damage.
ERRORS = [
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.EMFILE, "Too many open files"),
    PermissionError(errno.EACCES, "Permission denied"),
    MemoryError("std::bad_alloc"),
    jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes"),
    ValueError("DATA_LOSS: what a library says"),
    RuntimeError("Event loop is closed"),
    Exception("Encountered error while reading array index: ()"),
    KeyboardInterrupt(),
]


@pytest.fixture
def own(workdir: Path, tmp_path: Path) -> Path:
    return shutil.copytree(workdir, tmp_path / "work")


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("name", ["last", "best", 19])
def test_errors_change_nothing(
    name: str | int, error: BaseException, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    before = hashes(own)
    monkeypatch.setattr(checkpoint_files.ocp.Checkpointer, "restore", fail)
    expected = UserError if isinstance(error, Exception) else type(error)
    with pytest.raises(expected) as told:
        mole_jax.load(own, checkpoint=name)
    if isinstance(error, Exception):
        assert "it was left as it is: try again" in str(told.value)
    assert hashes(own) == before


def test_loading_and_predicting_change_nothing(own: Path, support: tuple[Any, Any]) -> None:
    before = hashes(own)
    with pytest.warns(mole_jax.MoleWarning):
        predict(mole_jax.load(own, steps=2), support)
    assert hashes(own) == before


@pytest.fixture
def double() -> Iterator[None]:
    """JAX in 64-bit mode, as notebooks set it."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@untrained
def test_64_bit_mode_changes_nothing(
    own: Path, model: Model, support: tuple[Any, Any], double: None
) -> None:
    before = hashes(own)
    loaded = mole_jax.load(own, steps=2)
    assert hashes(own) == before
    assert tiny.equal_trees(loaded.params, model.params)
    found, expected = predict(loaded, support), predict(model, support)
    assert found.apply(support[0]).dtype == np.float32
    assert tiny.equal_trees(found.params, expected.params)
    assert jax.config.values["jax_enable_x64"]


def test_a_training_under_way_says_how_far_it_is(own: Path) -> None:
    """The stage is on record as running, and its last checkpoint is not there yet."""
    record = own / "train" / "stage.json"
    files.write_json(record, files.read_json(record) | {"status": "running"})
    checkpoints = own / "train" / "diffusion" / "checkpoints"
    shutil.rmtree(checkpoints / "20")
    before = hashes(own)
    with pytest.raises(UserError, match=r"has 19 of 20 steps: wait .* or load checkpoint=19"):
        mole_jax.load(own)
    mole_jax.load(own, checkpoint=19)
    shutil.rmtree(checkpoints / "19")
    with pytest.raises(UserError, match="has no checkpoint yet: wait for one"):
        mole_jax.load(own)
    shutil.rmtree(checkpoints.parent)
    with pytest.raises(UserError, match="has no checkpoint yet: wait for one"):
        mole_jax.load(own)
    assert not stages.is_done(own, "train")
    assert set(hashes(own)) < set(before)


def test_a_checkpoint_that_is_replaced_while_it_is_read(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training saves 20 and deletes 19, which was the best until then."""
    folder = own / "train" / "diffusion" / "checkpoints"
    read, chosen = checkpoint_files.read, threading.Event()

    def replaced(folder: Path, step: int, like: Any) -> Any:
        if not chosen.is_set():
            chosen.set()
            shutil.rmtree(folder / "19")
        return read(folder, step, like)

    monkeypatch.setattr(checkpoint_files, "read", replaced)
    assert checkpoint_files.best_step(folder) == 19
    mole_jax.load(own, checkpoint="best")
    assert chosen.is_set() and checkpoint_files.steps(folder) == [20]
