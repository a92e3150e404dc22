"""`python -m mole_jax.main` killed inside its stages and run again: the bits of an unbroken run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

import mole_jax
from mole_jax.zoo.storage.reader import open_zoo
from tests import compiling, tiny

# A kill -9 from within comes at the worst moments there are, and always at the same ones: when a
# group is written but not committed, and while a checkpoint is being written beside an older one.
KILLED = """
import os, signal, sys
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.main import main
from mole_jax.zoo.storage.store import ZooWriter

commit, save = ZooWriter.commit, Checkpoints.save

def killed_commit(writer, n_runs):
    if sys.argv[1] == "zoo" and writer.n_runs:
        os.kill(os.getpid(), signal.SIGKILL)
    commit(writer, n_runs)

def killed_save(checkpoints, step, state, loss):
    older = checkpoints.latest_step()
    save(checkpoints, step, state, loss)
    if sys.argv[1] == "train" and older is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    checkpoints.wait()

ZooWriter.commit, Checkpoints.save = killed_commit, killed_save
sys.exit(main(sys.argv[2:]))
"""


def command(workdir: Path, kill: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the stages zoo and train; with `kill` the process ends itself inside that stage."""
    program = ["-c", KILLED, kill] if kill else ["-m", "mole_jax.main"]
    arguments = [f"--config={tiny.DEMO}", f"--workdir={workdir}", "--stages=zoo,train"]
    arguments += [f"--config.{key}={value}" for key, value in tiny.TINY.items()]
    quick = {
        **compiling.ONE_DEVICE,
        "JAX_COMPILATION_CACHE_DIR": str(workdir.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
    }
    return subprocess.run(
        [sys.executable, *program, *arguments],
        env=os.environ | quick,
        cwd=tiny.DEMO.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )


def metrics(workdir: Path) -> list[dict[str, float]]:
    """What training logged."""
    file = workdir / "train" / "diffusion" / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def without_rates(line: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in line.items() if not name.endswith("per_second")}


def test_killed_in_every_stage_and_run_again_is_an_uninterrupted_run(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = command(whole)
    assert done.returncode == 0, done.stderr

    for stage in ("zoo", "train"):
        killed = command(broken, kill=stage)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        if stage == "zoo":
            assert open_zoo(broken / "zoo").n_runs == 9
    steps = {path.name for path in (broken / "train" / "diffusion" / "checkpoints").iterdir()}
    assert "5" in steps
    assert "20" not in steps
    first_lines = metrics(broken)[:1]
    done = command(broken)
    assert done.returncode == 0, done.stderr
    assert "zoo: done before" in done.stderr
    assert metrics(broken)[:1] == first_lines  # with its rate: it was not trained again

    a, b = (open_zoo(workdir / "zoo") for workdir in (whole, broken))
    assert a.n_runs == b.n_runs == 30
    np.testing.assert_array_equal(a.parameters(), b.parameters())
    for name in a.schema.metrics:
        np.testing.assert_array_equal(a.metric(name), b.metric(name))
    for name, values in a.runs.items():
        np.testing.assert_array_equal(values, b.runs[name])
    for line, other in zip(metrics(whole), metrics(broken), strict=True):
        assert without_rates(line) == without_rates(other)
    models = [mole_jax.load(workdir).params for workdir in (whole, broken)]
    assert tiny.equal_trees(*models)
