"""Two real processes: the numbers of one, stopped and killed and run again, refused together.

They meet through launch/local.sh, on this machine's CPU. A process but the first compiles anew each
time, so there are few launches: one workdir sees it all, and is compared with one process's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mole_jax.zoo.storage.reader import open_zoo
from tests import compiling, kills, tiny
from tests.evaluation.conftest import SETTINGS

ROOT = Path(__file__).parents[2]
STEPS, EVERY = 100, 10
# Beside tests/tiny.py's: what compiles and runs fast.
SMALL = {
    "training.steps": STEPS,
    "training.checkpoint_every": EVERY,
    "training.regression_steps": 0,
    "metamodel.probes": 0,
    "metamodel.inner_steps": 0,
    "learners.maml.steps": 0,
    "learners.in_context.steps": 0,
    "evaluation.s0_tasks": 2,
    "evaluation.support_sizes": (1,),
}
MINUTE = 60  # after which a process that lost another has to be gone, too


def start(workdir: Path, processes: int, stages: str, *more: str) -> subprocess.Popen[str]:
    """The command, by one process or through local.sh."""
    changes = tiny.TINY | {k.replace("__", "."): v for k, v in SETTINGS.items()}
    changes |= SMALL
    arguments = [f"--config={tiny.DEMO}", f"--workdir={workdir}", f"--stages={stages}"]
    arguments += [f"--config.{key}={value}" for key, value in changes.items()]
    launcher = [sys.executable, "-m", "mole_jax.main"]
    if processes > 1:
        launcher = [str(ROOT / "launch" / "local.sh"), str(processes)]
    quick = {
        "PYTHON": sys.executable,
        **compiling.ONE_DEVICE,
        "JAX_COMPILATION_CACHE_DIR": str(workdir.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    return subprocess.Popen(
        [*launcher, *arguments, *more],
        env=os.environ | quick,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0, seconds: float = 900) -> str:
    """Wait for its end; returns what it said."""
    _, said = process.communicate(timeout=seconds)
    assert process.returncode == code, said[-3000:]
    return said


def log(workdir: Path) -> list[dict[str, Any]]:
    lines = (workdir / "train" / "diffusion" / "metrics.jsonl").read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if not k.endswith("per_second")}
        for line in lines
    ]


def process_of(workdir: Path, index: int) -> int:
    """The process id of the process with an index that works in `workdir`."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_text().split("\0")
        except OSError:  # it has ended
            continue
        if f"--workdir={workdir}" in words and any(w.endswith(f",2,{index}") for w in words):
            return int(path.name)
    raise AssertionError(f"no process {index} in {workdir}")


def has_trained(workdir: Path, running: subprocess.Popen[str], steps: int) -> None:
    """Wait until a checkpoint of that step or a later one is on disk."""
    folder = workdir / "train" / "diffusion" / "checkpoints"
    while not any(int(p.name) >= steps for p in folder.glob("*") if p.name.isdecimal()):
        assert running.poll() is None, running.communicate()[1][-3000:]
        time.sleep(0.05)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("processes") / "alone"
    finish(start(workdir, 1, "zoo,train,evaluate,report"))
    return workdir


@pytest.fixture(scope="module")
def together(alone: Path) -> Path:
    """What two processes make of the zoo of one, stopped once and killed once on the way."""
    workdir = alone.parent / "together"
    workdir.mkdir()
    subprocess.run(["cp", "-r", alone / "zoo", alone / "workdir.json", workdir], check=True)

    # SIGTERM to one: both save the step that they are at.
    running = start(workdir, 2, "train")
    has_trained(workdir, running, EVERY)
    os.kill(process_of(workdir, 1), signal.SIGTERM)
    finish(running, 143, MINUTE)
    for i in range(2):
        said = (workdir / "logs" / f"process_{i}.log").read_text()
        assert said.endswith("terminated; the same command resumes the run\n")
    last = log(workdir)[-1]["step"]
    assert EVERY <= last < STEPS
    assert (workdir / "train" / "diffusion" / "checkpoints" / str(last)).is_dir()

    # SIGKILL to one: the other is gone within a minute.
    running = start(workdir, 2, "train")
    has_trained(workdir, running, min(last + 1, STEPS - EVERY))
    os.kill(process_of(workdir, 1), signal.SIGKILL)
    said = finish(running, 128 + signal.SIGKILL, MINUTE)
    assert "process 1 was the first to fail, with code 137" in said
    assert (workdir / "train" / "stage.json").read_text().count('"running"') == 1

    finish(start(workdir, 2, "train,evaluate,report"))
    return workdir


def close(a: Any, b: Any, at: str = "") -> None:
    """Both are the same but for rounding."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), at
        for key in a:
            close(a[key], b[key], f"{at}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), at
        for i, pair in enumerate(zip(a, b, strict=True)):
            close(*pair, f"{at}.{i}")
    elif isinstance(a, (int, float)) and not isinstance(a, bool):
        np.testing.assert_allclose(b, a, rtol=0.01, atol=0.01, err_msg=at)
    else:
        assert a == b, at


def test_two_processes_stopped_and_killed_give_the_numbers_of_one(
    alone: Path, together: Path
) -> None:
    for ours, lone in zip(log(together), log(alone), strict=True):
        assert ours == pytest.approx(lone, rel=1e-4)
    found, expected = kills.results(together), kills.results(alone)
    for result, n_devices in ((expected, 1), (found, 2)):
        assert result["evaluation"].pop("hardware")["devices"] == {"cpu": n_devices}
    close(expected["evaluation"], found["evaluation"])
    assert (together / "report" / "index.html").exists()


def test_only_the_first_process_speaks_and_writes(together: Path) -> None:
    logs = [(together / "logs" / f"process_{i}.log").read_text() for i in range(2)]
    assert "train: done, in" in logs[0]
    assert not any(word in logs[1] for word in ("train:", "evaluate:", "steps [", "devices "))
    assert len(log(together)) == STEPS // 5


def test_what_one_refuses_stops_all(together: Path) -> None:
    said = finish(start(together, 2, "train", "--config.training.batch_size=10"), 2, MINUTE)
    assert "was made with another config (training.batch_size: 8 -> 10)" in said
    said = finish(start(together, 2, "train", "--config.sampling.steps=0"), 2, MINUTE)
    assert "sampling.steps=0 must lie in" in said
    for i in range(2):
        lines = (together / "logs" / f"process_{i}.log").read_text().splitlines()
        assert lines[-1].startswith("error: sampling.steps=0")
    assert open_zoo(together / "zoo").n_runs == 30
