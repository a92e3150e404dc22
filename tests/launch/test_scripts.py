"""The shell scripts of launch/: sound, polite, and what --dry_run prints is what they run.

Slurm and gcloud are played by programs that write down how they are called.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch"
SCRIPTS = sorted(LAUNCH.glob("*.sh"))
LAUNCHERS = ("local.sh", "slurm.sh", "tpu_pod.sh")
MAIN = ["--config=c.py", "--workdir=/shared/a b", "--config.network.hidden=(6,)"]
TPU = ["--name=mole", "--zone=z", "--type=v6e-16"]

PLAYED = f"""#!{sys.executable}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
name = pathlib.Path(__file__).name
call = [name, *sys.argv[1:]]
if name == "sbatch":
    call.append(sys.stdin.read())
if name == "python":
    call = [*call[:-1], call[-1].split(",", 1)[1]]  # without the port
with (here / "calls.jsonl").open("a") as file:
    file.write(json.dumps(call) + "\\n")
# What gcloud's `describe` says, and how a command ends on the workers: one line each time.
told = here / ("states" if "describe" in call else "ends")
is_main = any("mole_jax.main --config" in word for word in call)
if "describe" in call or is_main:
    first, *rest = told.read_text().splitlines()
    told.write_text("\\n".join(rest or [first]))
    print(first) if "describe" in call else sys.exit(int(first))
"""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder of programs that only take notes, and of a `sleep` that does not."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("gcloud", "sbatch", "python"):
        (folder / name).write_text(PLAYED)
        (folder / name).chmod(0o755)
    (folder / "sleep").symlink_to(shutil.which("true") or "/bin/true")
    (folder / "states").write_text("READY")
    (folder / "ends").write_text("0")
    return folder


def launch(world: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return bash(world, str(LAUNCH / script), *arguments)


def bash(world: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{world}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", *arguments],
        env=os.environ | {"PATH": path, "PYTHON": str(world / "python")},
        cwd=world.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )


def calls(world: Path) -> list[list[str]]:
    """What has been called since the last time, with its arguments."""
    path = world / "calls.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    beside = Path(sys.executable).parent / "shellcheck"
    checker = str(beside) if beside.exists() else shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck is not installed: pip install -r requirements-dev.txt")
    checked = subprocess.run(
        [checker, "--external-sources", script],
        cwd=LAUNCH.parent,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert subprocess.run(["bash", "-n", script]).returncode == 0


@pytest.mark.parametrize("script", LAUNCHERS)
def test_help_names_every_option(script: str, world: Path) -> None:
    page = launch(world, script, "--help")
    assert page.returncode == 0
    for line in (LAUNCH / script).read_text().splitlines():
        option = line.strip().partition(")")[0].partition("=")[0].partition(" |")[0]
        if option.startswith("--") and len(option) > 2 and line.startswith("    --"):
            assert f"  {option}" in page.stdout
    assert max(map(len, page.stdout.splitlines())) <= 120


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("local.sh", [], "N is missing"),
        ("local.sh", ["two"], "N=two is not a number of processes"),
        ("local.sh", ["0", *MAIN], "N=0 is not a number of processes"),
        ("local.sh", ["2"], "--config is missing"),
        ("local.sh", ["2", "--config=c"], "--workdir is missing"),
        ("local.sh", [*MAIN, "2"], "N is missing before main's arguments"),
        ("local.sh", ["--port=x", "2", *MAIN], "--port=x is not a whole number"),
        ("local.sh", ["2", *MAIN, "--distributed=auto"], "given by this launcher"),
        ("local.sh", ["2", "--config=c", "--workdir=~me/x"], "write that user's home folder out"),
        ("slurm.sh", [], "--config is missing"),
        ("slurm.sh", MAIN, "-- is missing before main's arguments"),
        ("slurm.sh", ["--nodes=0", "--", *MAIN], "--nodes=0 is not a whole number of 1 or more"),
        ("slurm.sh", ["--gpu=1", "--", *MAIN], "option --gpu=1 is unknown"),
        ("slurm.sh", ["--time=soon", "--", *MAIN], "--time=soon is not a time"),
        ("slurm.sh", ["--", "--config=c", "--workdir=w"], "--workdir=w: give the whole path"),
        ("tpu_pod.sh", [], "--name is missing"),
        ("tpu_pod.sh", ["--name=a"], "--zone is missing"),
        ("tpu_pod.sh", ["--name=a", "--zone=z"], "--type is missing"),
        ("tpu_pod.sh", [*TPU, "--", "--config=c", "--workdir=gs://b/w"], "is not a folder: mount"),
        ("tpu_pod.sh", [*TPU, "--python=3.12", "--", *MAIN], "--python=3.12 is not a version"),
    ],
)
def test_mistakes_are_explained(
    script: str, arguments: list[str], message: str, world: Path
) -> None:
    refused = launch(world, script, *arguments)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ") and refused.stderr.count("\n") == 1
    assert message in refused.stderr
    assert calls(world) == []


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("local.sh", ["--port=7000", "2"]),
        ("slurm.sh", ["--nodes=2", "--partition=a100", "--setup=echo 'a $b'", "--"]),
        ("tpu_pod.sh", [*TPU, "--spot", "--delete", "--setup=echo 'a $b'", "--"]),
    ],
)
def test_what_a_dry_run_prints_is_what_is_run(
    script: str, arguments: list[str], world: Path
) -> None:
    main = [x.replace("/shared", str(world.parent / "shared")) for x in MAIN]
    (world / "states").write_text("")  # a TPU that has to be made
    dry = launch(world, script, "--dry_run", *arguments, *main)
    assert dry.returncode == 0, dry.stderr
    assert not (world.parent / "shared").exists()
    assert all("describe" in call for call in calls(world))
    pasted = bash(world, "-c", dry.stdout)
    assert pasted.returncode == 0, pasted.stderr
    printed = calls(world)
    ran = launch(world, script, *arguments, *main)
    assert ran.returncode == 0, ran.stderr
    found = [call for call in calls(world) if "describe" not in call]
    # The archive has another name each time, and processes begin in any order.
    same = [
        sorted([word if not word.endswith(".tgz") or ":" in word else "ARCHIVE" for word in call]
        for call in every)
        for every in (printed, found)
    ]  # fmt: skip
    assert same[0] == same[1]
    assert len(found) == {"local.sh": 2, "slurm.sh": 1, "tpu_pod.sh": 9}[script]


def test_a_workdir_in_the_home_folder_is_there(world: Path) -> None:
    """Logs lie where main keeps everything, which takes ~ for the home folder."""
    line = ["HOME=/home/me", str(LAUNCH / "local.sh"), "--dry_run", "2", "--config=c"]
    done = bash(world, "-c", '"$@"', "-", "env", *line, "--workdir=~/x")
    assert done.stdout.startswith("mkdir -p /home/me/x/logs\n"), done.stderr


def test_a_job_asks_slurm_for_what_it_was_told(world: Path) -> None:
    workdir = world.parent / "runs"
    options = ["--nodes=3", "--gpus=4", "--time=1:00:00", "--account=me", "--grace=99"]
    launch(world, "slurm.sh", *options, "--", "--config=c.py", f"--workdir={workdir}")
    ((_, job),) = calls(world)
    for line in (
        *("--nodes=3", "--ntasks-per-node=4", "--gpus-per-node=4", "--time=1:00:00"),
        *("--account=me", "--signal=TERM@99", "--requeue"),
    ):
        assert f"#SBATCH {line}\n" in job
    assert "--partition" not in job
    assert f"-m mole_jax.main --config=c.py --workdir={workdir} --distributed=auto" in job
    assert subprocess.run(["bash", "-n"], input=job, text=True).returncode == 0


@pytest.mark.parametrize(("code", "restarts", "queued"), [(143, 0, 1), (2, 0, 0), (143, 20, 0)])
def test_a_stopped_job_is_queued_again_so_often(
    code: int, restarts: int, queued: int, world: Path
) -> None:
    launch(world, "slurm.sh", "--", "--config=c.py", f"--workdir={world.parent}")
    ((_, job),) = calls(world)
    (world / "srun").write_text(f"#!/bin/bash\nexit {code}\n")
    (world / "scontrol").write_text('#!/bin/bash\necho "$@" >> ' + f"{world}/queued\n")
    for name in ("srun", "scontrol"):
        (world / name).chmod(0o755)
    job = f"export SLURM_RESTART_COUNT={restarts} SLURM_JOB_ID=77\n{job}"
    assert bash(world, "-c", job).returncode == code
    path = world / "queued"
    assert (path.read_text() if path.exists() else "") == queued * "requeue 77\n"


def verbs(world: Path) -> list[str]:
    """What gcloud was asked to do, `main` where that was the experiment."""
    found = []
    for call in calls(world):
        is_main = any("mole_jax.main --config" in word for word in call)
        found.append("main" if is_main else call[4])
    return [verb for verb in found if verb not in ("describe", "ssh", "scp")]


def test_a_tpu_that_is_there_is_reused(world: Path) -> None:
    ran = launch(world, "tpu_pod.sh", *TPU, "--", *MAIN)
    assert ran.returncode == 0, ran.stderr
    assert verbs(world) == ["main"]


def test_a_preempted_tpu_is_made_again_and_the_experiment_goes_on(world: Path) -> None:
    # Asked before each attempt, twice after a failed one, to decide and to say so.
    (world / "states").write_text("READY\nPREEMPTED\nPREEMPTED\nPREEMPTED\n")
    (world / "ends").write_text("1\n0")
    ran = launch(world, "tpu_pod.sh", *TPU, "--", *MAIN)
    assert ran.returncode == 0, ran.stderr
    assert verbs(world) == ["main", "delete", "create", "main"]
    assert "mole is lost or could not be had (PREEMPTED)" in ran.stderr


def test_it_is_made_again_so_often_and_no_oftener(world: Path) -> None:
    (world / "states").write_text("PREEMPTED")
    (world / "ends").write_text("1")
    ran = launch(world, "tpu_pod.sh", *TPU, "--restarts=2", "--delete", "--", *MAIN)
    assert ran.returncode == 1
    assert verbs(world) == [*3 * ["delete", "create", "main"], "delete"]
    assert "was lost or could not be had 3 times" in ran.stderr


def test_a_failure_on_a_whole_tpu_ends_it(world: Path) -> None:
    (world / "ends").write_text("1")
    ran = launch(world, "tpu_pod.sh", *TPU, "--", *MAIN)
    assert ran.returncode == 1
    assert verbs(world) == ["main"]
    assert "the experiment failed while mole was whole" in ran.stderr


# In place of Python: process 0 fails when there is a file `fail`, and all note what they are told.
WAITING = """#!/bin/bash
here=$(dirname "$0")
told() { echo "$1 ${!#}" >> "$here/told"; exit "$2"; }
trap 'told INT 130' INT
trap 'told TERM 143' TERM
echo "started" >> "$here/started"
while :; do
  [[ ${!#} != *,2,0 || ! -e $here/fail ]] || { echo "no luck"; exit 5; }
  /bin/sleep 0.05
done
"""


@pytest.mark.parametrize(
    ("sent", "word", "code"),
    [(signal.SIGINT, "INT", 130), (signal.SIGTERM, "TERM", 143), (None, "TERM", 5)],
)
def test_signals_go_to_all_and_one_failure_stops_the_others(
    sent: signal.Signals | None, word: str, code: int, world: Path
) -> None:
    (world / "python").write_text(WAITING)
    (world / "sleep").unlink()  # the real one
    workdir = world.parent / "runs"
    running = subprocess.Popen(
        [str(LAUNCH / "local.sh"), "--port=7", "2", "--config=c.py", f"--workdir={workdir}"],
        env=os.environ | {"PYTHON": str(world / "python")},
        stderr=subprocess.PIPE,
        text=True,
    )
    started = world / "started"
    while not started.exists() or started.read_text().count("started") < 2:
        assert running.poll() is None
        time.sleep(0.02)
    if sent is None:
        (world / "fail").touch()
    else:
        running.send_signal(sent)
    _, said = running.communicate(timeout=60)
    assert running.returncode == code, said
    told = [line.split()[0] for line in (world / "told").read_text().splitlines()]
    assert told == [word] * (1 if sent is None else 2)
    if sent is None:
        assert "process 0 ended with code 5, the others are stopped" in said
        assert said.endswith("  no luck\n")
