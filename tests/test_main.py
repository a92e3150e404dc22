"""The command: errors in one line, stages skipped and resumed, Ctrl-C, help."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from mole_jax import main as command
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage import files
from tests import tiny

TINY = str(Path(__file__).parent / "data" / "tiny_config.py")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the stages by ones that note their name and seed, and the validation by none."""
    noted: list[str] = []

    def replaced(stage: stages.Stage) -> stages.Stage:
        def run(config: ConfigDict, workdir: Path) -> None:
            noted.append(stage.name)
            if stage.name == "report":
                files.write_bytes(workdir / "report" / "index.html", b"")

        return stages.Stage(stage.name, stage.sections, run)

    monkeypatch.setattr(command, "STAGES", tuple(map(replaced, command.STAGES)))
    monkeypatch.setattr(command, "validate", lambda config, mesh: None)
    return noted


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line with which the arguments are refused."""
    assert command.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_all_stages_run_then_are_skipped(
    ran: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--config={TINY}", f"--workdir={tmp_path}"]
    assert command.main(arguments) == 0
    assert ran == ["zoo", "train", "evaluate", "report"]
    err = capsys.readouterr().err
    assert re.search(r"^devices  8 x cpu", err, re.MULTILINE)
    assert re.search(r"^programs kept in ", err, re.MULTILINE)
    assert f"report   {tmp_path / 'report' / 'index.html'}" in err
    assert command.main(arguments) == 0
    assert len(ran) == 4


def test_a_workdir_from_before_keys_were_renamed_is_the_same_workdir(
    ran: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--config={tiny.DEMO}", f"--workdir={tmp_path}"]
    assert command.main([*arguments, "--stages=zoo,train"]) == 0
    tiny.with_old_names(tmp_path)
    assert '"descents":' in (tmp_path / "train" / "stage.json").read_text()
    assert command.main([*arguments, "--config.zoo.placement=host"]) == 0
    assert ran == ["zoo", "train", "evaluate", "report"]
    assert "train: done before" in capsys.readouterr().err
    line = refused(capsys, *arguments, "--config.metamodel.inner_steps=3")
    assert "(metamodel.inner_steps: 8 -> 3)" in line


def test_stages_can_be_chosen_and_flags_written_with_spaces(ran: list[str], tmp_path: Path) -> None:
    arguments = ["--config.seed", "3", "--config", TINY, "--workdir", str(tmp_path)]
    assert command.main([*arguments, "--stages", "train,zoo"]) == 0
    assert ran == ["zoo", "train"]
    assert stages.record(tmp_path, "zoo")["config"]["seed"] == 3


def test_a_changed_config_is_refused_unless_only_later_stages_see_it(
    ran: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--config={TINY}", f"--workdir={tmp_path}"]
    assert command.main([*arguments, "--stages=zoo,train"]) == 0
    capsys.readouterr()
    line = refused(capsys, *arguments, "--config.population.members=16", "--config.seed=2")
    assert "population.members: 8 -> 16" in line
    assert "seed: 0 -> 2" in line
    assert ran == ["zoo", "train"]
    assert command.main([*arguments, "--config.sampling.steps=8"]) == 0
    assert ran == ["zoo", "train", "evaluate", "report"]


def test_the_argument_of_a_config_reaches_it(ran: list[str], tmp_path: Path) -> None:
    assert command.main([f"--config={TINY}:full", f"--workdir={tmp_path}"]) == 0
    assert stages.record(tmp_path, "train")["config"]["training"]["steps"] == 100


def test_the_mesh_reaches_training_and_no_other_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: dict[str, dict] = {}

    def replaced(stage: stages.Stage) -> stages.Stage:
        def run(config: ConfigDict, workdir: Path, **options: object) -> None:
            noted[stage.name] = options

        return stages.Stage(stage.name, stage.sections, run)

    monkeypatch.setattr(command, "STAGES", tuple(map(replaced, command.STAGES)))
    monkeypatch.setattr(command, "validate", lambda config, mesh: None)
    arguments = [f"--config={TINY}", f"--workdir={tmp_path}"]
    assert command.main([*arguments, "--mesh=data:2,fsdp:4"]) == 0
    shape = {"data": 2, "fsdp": 4}
    assert noted == {"zoo": {}, "train": {"mesh_shape": shape}, "evaluate": {}, "report": {}}
    # It is no part of the config: the same workdir goes on with another one.
    assert command.main([*arguments, "--mesh=fsdp:8"]) == 0


def test_ctrl_c_says_how_to_go_on(
    ran: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [f"--config={TINY}", f"--workdir={tmp_path}"]
    whole = command.STAGES

    def interrupted(config: ConfigDict, workdir: Path) -> None:
        raise KeyboardInterrupt

    broken = stages.Stage("train", whole[1].sections, interrupted)
    monkeypatch.setattr(command, "STAGES", (whole[0], broken, *whole[2:]))
    assert command.main(arguments) == 130
    err = capsys.readouterr().err
    assert err.endswith("interrupted; the same command resumes the run\n")
    monkeypatch.setattr(command, "STAGES", whole)
    assert command.main(arguments) == 0
    assert ran == ["zoo", "train", "evaluate", "report"]


@pytest.mark.parametrize(
    "full",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("UNKNOWN: Error writing x: [OS error 28: ENOSPC No space left on device]"),
    ],
)
def test_a_full_disk_is_explained(
    ran: list[str],
    full: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def write(config: ConfigDict, workdir: Path) -> None:
        try:
            raise full
        except Exception as problem:
            raise RuntimeError("a library's own words") from problem

    monkeypatch.setattr(command, "STAGES", (stages.Stage("zoo", command.FOR_REPORT, write),))
    assert command.main([f"--config={TINY}", f"--workdir={tmp_path}"]) == 2
    assert capsys.readouterr().err.endswith(
        "error: the disk is full: make space; the same command resumes the run\n"
    )


def test_sigterm_stops_and_says_how_to_go_on(
    ran: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def preempted(config: ConfigDict, workdir: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(command, "STAGES", (stages.Stage("zoo", command.FOR_REPORT, preempted),))
    assert command.main([f"--config={TINY}", f"--workdir={tmp_path}"]) == 143
    err = capsys.readouterr().err
    assert err.endswith("terminated; the same command resumes the run\n")


def test_a_bug_keeps_its_traceback(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(config: ConfigDict, workdir: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(command, "STAGES", (stages.Stage("zoo", command.FOR_REPORT, bug),))
    with pytest.raises(ZeroDivisionError):
        command.main([f"--config={TINY}", f"--workdir={tmp_path}"])


def test_values_are_validated_before_a_folder_is_made(
    ran: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def invalid(config: ConfigDict, mesh: dict[str, int]) -> None:
        raise UserError("too few examples")

    monkeypatch.setattr(command, "validate", invalid)
    line = refused(capsys, f"--config={TINY}", f"--workdir={tmp_path / 'new'}")
    assert "too few examples" in line
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config is missing"),
        ([f"--config={TINY}"], "--workdir is missing"),
        (["--config=none.py", "--workdir=w"], "config file none.py is missing"),
        ([f"--config={TINY}:half", "--workdir=w"], "does not take ':half'"),
        ([f"--config={TINY}", "--workdir=w", "--stages=zoo,trian"], "did you mean train?"),
        ([f"--config={TINY}", "--workdir=w", "--stages="], "no stage is selected"),
        ([f"--config={TINY}", "--work_dir=w"], "did you mean --workdir?"),
        ([f"--config={TINY}", "--workdir=w", "--xyzzy"], "flag --xyzzy is unknown"),
        ([f"--config={TINY}", "--workdir=w", "--mesh=model:2"], "axis 'model' is unknown"),
        ([f"--config={TINY}", "--workdir"], "--help shows how"),
        ([f"--config={TINY}", "--workdir=w", "zoo"], "argument 'zoo' is unexpected"),
        ([f"--config={TINY}", "--workdir=w", "--config.sed=1"], "did you mean seed?"),
        ([f"--config={TINY}", "--workdir=gs://b/w"], "--workdir=gs://b/w is not a folder: mount"),
        ([f"--config={TINY}", "--workdir=w", "--distributed=h:1,2,2"], "lies in 0..1, '2' does"),
        ([f"--config={TINY}", "--workdir=w", "--config.seed=one"], "cannot be 'one'"),
    ],
)
def test_mistakes_are_explained_on_one_line(
    arguments: list[str],
    message: str,
    ran: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []
    assert ran == []


def test_a_workdir_in_use_is_refused(
    ran: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stages.open_workdir(tmp_path):
        line = refused(capsys, f"--config={TINY}", f"--workdir={tmp_path}")
    assert "another process is at work" in line


def test_help_lists_the_keys_of_a_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"]) == 0
    page = capsys.readouterr().out
    assert all(stage.name in page for stage in command.STAGES)
    assert max(map(len, page.splitlines())) <= 100
    assert command.main(["-h", f"--config={TINY}", "--config.seed=5"]) == 0
    page = capsys.readouterr().out
    assert re.search(r"population\.members +8$", page, re.MULTILINE)
    assert re.search(r"seed +5$", page, re.MULTILINE)


def test_the_sections_of_the_stages_are_cumulative() -> None:
    for earlier, later in zip(command.STAGES, command.STAGES[1:], strict=False):
        assert set(earlier.sections) < set(later.sections)


def test_the_process_refuses_without_traceback_and_without_starting_jax() -> None:
    code = (
        "import sys; from mole_jax.main import main;"
        f"code = main(['--config={TINY}', '--workdir=w', '--config.seed=x']);"
        "from jax._src.xla_bridge import backends_are_initialized as started;"
        "assert not started(); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: config.seed cannot be 'x': give a whole number like 0\n"


def test_the_module_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mole_jax.main", "--config=nowhere.py", "--workdir=w"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: config file nowhere.py is missing")
    assert "Traceback" not in done.stderr
