"""Reading changes nothing, and takes nothing for damage that is not."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.storage import checkpoint_files as stored
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.core.storage.checkpoint_files import DamagedError, GoneError, UnreadableError
from tests.core.storage.test_checkpoint import damage
from tests.tiny import hashes

# A restore that Orbax refuses leaves coroutines behind, which end after their event loop is closed.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collected"),
]

STATE = {"x": jnp.asarray(np.random.default_rng(0).normal(size=20_000), "float32")}
STATE["step"] = jnp.int32(2)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, STATE, 1 / step)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "checkpoints")


# What has nothing to do with damage: memory, input and output, permission, settings.
ERRORS = [
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ESTALE, "Stale file handle"),
    PermissionError(errno.EACCES, "Permission denied"),
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    TimeoutError("timed out"),
    MemoryError("std::bad_alloc"),
    jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes"),
    ValueError("UNAVAILABLE: Error reading local file [OS error 5: EIO Input/output error]"),
    ValueError("DATA_LOSS: says a library, but the files are those that were saved"),
    TypeError("Must provide `args` of type `Composite`"),
    KeyError("x"),
    RuntimeError("Event loop is closed"),
    Exception("Encountered error while reading array index: ()"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: f"{type(e).__name__}-{str(e)[:12]}")
@pytest.mark.parametrize("how", ["read", "resume"])
def test_other_errors_change_nothing(
    how: str, error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    before = hashes(folder.parent)
    with monkeypatch.context() as patch:
        patch.setattr(stored.ocp.Checkpointer, "restore", fail)
        with pytest.raises(UnreadableError, match="it was left as it is: try again") as told:
            read_by(how, folder)
    assert type(error).__name__ in str(told.value)
    assert hashes(folder.parent) == before
    assert read_by(how, folder)["step"] == 2


def read_by(how: str, folder: Path) -> Any:
    if how == "read":
        return stored.read(folder, 2, STATE)
    with Checkpoints(folder) as checkpoints:
        found = checkpoints.restore_latest(STATE)
    assert found is not None
    return found[1]


def test_ctrl_c_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    before = hashes(folder.parent)
    monkeypatch.setattr(stored.ocp.Checkpointer, "restore", interrupted)
    for how in ("read", "resume"):
        with pytest.raises(KeyboardInterrupt):
            read_by(how, folder)
    assert hashes(folder.parent) == before


def test_wrong_settings_are_no_damage(folder: Path) -> None:
    """A state that is read as other types or shapes cannot have the values that were saved."""
    before = hashes(folder.parent)
    for other in (
        STATE | {"x": jnp.arange(20_000)},
        STATE | {"x": jnp.zeros(7)},
        {"y": jnp.zeros(7)},
    ):
        with pytest.raises(UnreadableError):
            stored.read(folder, 2, other)
        with Checkpoints(folder) as checkpoints, pytest.raises(UnreadableError):
            checkpoints.restore_latest(other)
    assert hashes(folder.parent) == before


@pytest.mark.parametrize("change", ["flip", "truncate", "delete"])
def test_a_reader_tells_of_damage_and_leaves_it(
    change: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "SECONDS_TO_VANISH", 0.0)
    damage(folder / "2", change)
    before = hashes(folder.parent)
    assert "ocdbt.process_0/d/" in stored.damage(folder / "2")
    with pytest.raises(DamagedError, match=r"its file default/.* is"):
        stored.read(folder, 2, STATE)
    assert hashes(folder.parent) == before


def test_one_that_a_training_replaces_is_gone_and_not_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes file by file, so that at first it looks damaged."""

    def replaced(*_: Any, **__: Any) -> None:
        next((folder / "2").glob("default/manifest*")).unlink()
        monkeypatch.setattr(stored.time, "sleep", lambda _: shutil.rmtree(folder / "2"))
        raise ValueError("NOT_FOUND")

    monkeypatch.setattr(stored.ocp.Checkpointer, "restore", replaced)
    with pytest.raises(GoneError):
        stored.read(folder, 2, STATE)
    assert stored.steps(folder) == [1]


def test_files_that_cannot_be_looked_at_are_no_damage(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(folder / "2")
    before = hashes(folder.parent)

    def unreadable(_: Path) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(stored, "_digest", unreadable)
    with pytest.raises(UnreadableError, match="Input/output error"):
        stored.read(folder, 2, STATE)
    assert hashes(folder.parent) == before


def test_checkpoints_without_digests(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of earlier versions: only the checksum of their values can prove damage."""
    (folder / "2" / stored.DIGESTS).unlink()
    assert stored.read(folder, 2, STATE)["step"] == 2

    def other_values(read: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            found = read(*arguments, **named)
            return found | {"state": jax.tree.map(lambda x: x + 1, found["state"])}

        return call

    with monkeypatch.context() as patch:
        patch.setattr(
            stored.ocp.Checkpointer, "restore", other_values(stored.ocp.Checkpointer.restore)
        )
        with pytest.raises(DamagedError, match="its values are not those that were saved"):
            stored.read(folder, 2, STATE)
    with pytest.raises(UnreadableError):
        stored.read(folder, 2, STATE | {"x": jnp.zeros(7)})


def test_steps_and_the_best_of_them(saved: Path, tmp_path: Path) -> None:
    assert stored.steps(saved) == [1, 2]
    assert stored.best_step(saved) == 2
    assert stored.steps(tmp_path / "none") == [] and stored.best_step(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
