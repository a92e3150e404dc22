"""`mole_jax.run`: what the command does, from Python."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

import mole_jax
from mole_jax import experiment
from mole_jax import main as command
from mole_jax.core.console import interrupts
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from tests import tiny

CONFIG = Path(__file__).parents[1] / "configs" / "digits_mlp.py"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Replace the stages by ones that note their name and seed."""
    noted: list[tuple[str, int]] = []

    def replaced(stage: stages.Stage) -> stages.Stage:
        def run(config: ConfigDict, workdir: Path) -> None:
            noted.append((stage.name, config.seed))

        return stages.Stage(stage.name, stage.sections, run)

    monkeypatch.setattr(command, "STAGES", tuple(map(replaced, command.STAGES)))
    return noted


def test_a_file_runs_as_with_the_command(ran: list[tuple[str, int]], tmp_path: Path) -> None:
    assert mole_jax.run(CONFIG, tmp_path / "a") == tmp_path / "a"
    every = [(name, 0) for name in ("zoo", "train", "evaluate", "report")]
    assert ran == every
    assert command.main([f"--config={CONFIG}", f"--workdir={tmp_path / 'a'}"]) == 0
    assert ran == every, "what one has finished, the other skips"


def test_configs_may_be_differences_or_whole(ran: list[tuple[str, int]], tmp_path: Path) -> None:
    mole_jax.run({"seed": 3, "network.hidden": (4,)}, str(tmp_path / "a"), stages=("train", "zoo"))
    assert ran == [("zoo", 3), ("train", 3)]
    whole = experiment.make({"seed": 3, "network.hidden": (4,)})
    mole_jax.run(whole, tmp_path / "a", stages="evaluate")
    assert ran[2:] == [("evaluate", 3)]


def test_what_cannot_run_is_refused_before_a_folder_is_made(
    ran: list[tuple[str, int]], tmp_path: Path
) -> None:
    folder = tmp_path / "a"
    for config, names, said in (
        ({"network.hiden": (4,)}, ("zoo",), "did you mean network.hidden"),
        ({"seed": "many"}, ("zoo",), "seed"),
        ({"population.members": -1}, ("zoo",), "population.members"),
        (CONFIG, ("zo",), "did you mean zoo"),
        (CONFIG, (), "no stage is selected"),
        (CONFIG, None, "must be names"),
        (CONFIG, ("zoo", None), "must be names"),
        ({"training.steps": None}, ("zoo",), "training.steps=None has another type"),
        ({"population.learning_rate": ("a", "b")}, ("zoo",), "population.learning_rate"),
        ({"network.hidden": (True,)}, ("zoo",), "network.hidden"),
        ({"network": {"hidden": (6,)}}, ("zoo",), "holds a mapping"),
        ({3: 4}, ("zoo",), "is no key"),
        (tmp_path / "none.py", ("zoo",), "is missing"),
        (7, ("zoo",), "is not a path"),
    ):
        with pytest.raises(UserError, match=said):
            mole_jax.run(config, folder, stages=names)  # type: ignore[arg-type]
    assert not folder.exists() and ran == []


@pytest.mark.parametrize("workdir", ["", "gs://bucket/x", "a\0b", 3])
def test_what_is_no_folder_is_refused(
    workdir: Any,
    ran: list[tuple[str, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"workdir|is not a path"):
        mole_jax.run(CONFIG, workdir)
    assert not list(tmp_path.iterdir())


def test_stages_may_be_named_as_for_the_command(ran: list[tuple[str, int]], tmp_path: Path) -> None:
    mole_jax.run(CONFIG, tmp_path, stages="zoo, train")
    mole_jax.run(CONFIG, tmp_path, stages=(x for x in ("evaluate",)))  # type: ignore[arg-type]
    assert [name for name, _ in ran] == ["zoo", "train", "evaluate"]


def test_it_is_refused_in_a_traced_function(ran: list[tuple[str, int]], tmp_path: Path) -> None:
    def traced(x: jax.Array) -> jax.Array:
        mole_jax.run(CONFIG, tmp_path / "a")
        return x

    with pytest.raises(UserError, match="inside of jit"):
        jax.jit(traced)(jnp.zeros(()))
    assert not (tmp_path / "a").exists()


def test_stages_run_as_with_the_command_in_32_bits_and_under_its_signals(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def look(config: ConfigDict, workdir: Path) -> None:
        seen.append((jnp.zeros(3).dtype, signal.getsignal(signal.SIGTERM)))

    stage = stages.Stage("zoo", command.FOR_EVALUATE, look)
    monkeypatch.setattr(command, "STAGES", (stage,))
    before = signal.getsignal(signal.SIGTERM)
    with tiny.settings_of_jax(jax_enable_x64=True):
        mole_jax.run(CONFIG, tmp_path, stages=("zoo",))
        assert jnp.zeros(3).dtype == jnp.float64
    ((dtype, handler),) = seen
    assert dtype == jnp.float32 and handler == interrupts._on_signal != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_workdir_of_another_config_is_refused(
    ran: list[tuple[str, int]], tmp_path: Path
) -> None:
    mole_jax.run({"seed": 1}, tmp_path, stages=("zoo",))
    with pytest.raises(UserError, match="seed"):
        mole_jax.run({"seed": 2}, tmp_path)
    assert ran == [("zoo", 1)]
    assert tiny.hashes(tmp_path)
