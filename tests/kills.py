"""Kill an experiment at random moments, again and again, and compare it with an unbroken one.

    python -m tests.kills --kills=50 --seed=0 [--out=FILE.json]

Each time the same command goes on, and after a random time gets SIGKILL, SIGTERM or SIGINT. In the
end zoo, trained parameters, logs and evaluation have to be those of a run that nobody stopped.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.zoo.storage.reader import open_zoo
from tests import compiling, tiny
from tests.evaluation.conftest import SETTINGS

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
STAGES = ("zoo", "train", "evaluate", "report")
SHORTEST = 1.0  # seconds: before that Python has hardly begun


def start(workdir: Path, changed: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """The command, with a log beside its workdir."""
    changes = tiny.TINY | {k.replace("__", "."): v for k, v in SETTINGS.items()}
    changes |= {"training.steps": 100} | dict(changed)
    arguments = [f"--config={tiny.DEMO}", f"--workdir={workdir}"]
    arguments += [f"--config.{key}={value}" for key, value in changes.items()]
    quick = {
        **compiling.ONE_DEVICE,
        "JAX_COMPILATION_CACHE_DIR": str(workdir.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    with (workdir.parent / f"{workdir.name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "mole_jax.main", *arguments],
            env=os.environ | quick,
            cwd=tiny.DEMO.parents[1],
            stdout=log,
            stderr=log,
        )


def finish(workdir: Path, changed: Mapping[str, Any]) -> float:
    """Run to the end; returns the seconds it took."""
    began = time.monotonic()
    code = start(workdir, changed).wait()
    assert code == 0, (workdir.parent / f"{workdir.name}.log").read_text()[-3000:]
    return time.monotonic() - began


def stage_of(workdir: Path) -> str:
    """The stage that is under way, or the next one."""
    for stage in STAGES:
        path = workdir / stage / "stage.json"
        if not path.exists() or json.loads(path.read_text())["status"] != "done":
            return stage
    return "done"


def kill_at_random(
    workdir: Path, changed: Mapping[str, Any], longest: float, rng: random.Random
) -> tuple[str, str] | None:
    """Run for a log-uniform time, then kill; returns stage and signal, None when it was done."""
    wait = math.exp(rng.uniform(math.log(SHORTEST), math.log(longest)))
    which = rng.choice(SIGNALS)
    process = start(workdir, changed)
    try:
        code = process.wait(wait)
    except subprocess.TimeoutExpired:
        stage = stage_of(workdir)
        process.send_signal(which)
        code = process.wait(60)
        # Before the command is there to answer, and after it, Python itself does.
        late = (0,) if stage in ("report", "done") else ()
        log = (workdir.parent / f"{workdir.name}.log").read_text()[-3000:]
        assert code in (CODES[which], -which, 1, *late), (code, stage, which, log)
        return (stage, which.name) if code else None
    assert code == 0, (workdir.parent / f"{workdir.name}.log").read_text()[-3000:]
    return None


def results(workdir: Path) -> dict[str, Any]:
    """All that an experiment leaves behind, without its times."""
    zoo = open_zoo(workdir / "zoo")
    rows = np.arange(zoo.n_runs)
    leaves = trained(workdir / "train" / "diffusion" / "checkpoints")
    lines = (workdir / "train" / "diffusion" / "metrics.jsonl").read_text().splitlines()
    evaluation = json.loads((workdir / "report" / "evaluation.json").read_text())
    for name in ("seconds", "targets"):  # which has a time among them
        del evaluation[name]
    for split in evaluation["splits"].values():
        del split["cost"], split["learner_costs"]
    return {
        "zoo": zoo.parameters(rows),
        "metric": zoo.metric("test_loss", rows),
        "state": [np.asarray(x) for x in leaves],
        "log": [
            {k: v for k, v in json.loads(line).items() if not k.endswith("per_second")}
            for line in lines
        ],
        "evaluation": evaluation,
    }


def trained(folder: Path) -> list[Any]:
    """All arrays of the last checkpoint, wherever those were that saved it."""
    with Checkpoints(folder) as checkpoints:
        step = checkpoints.latest_step()
        assert step is not None
        stored = ocp.StandardCheckpointer().metadata(folder / str(step) / "default")
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        like = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
            stored.item_metadata.tree,
        )
        state = checkpoints._manager.restore(step, args=ocp.args.StandardRestore(like))
    leaves = jax.tree.leaves(state)
    assert len(leaves) > 10
    return leaves


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=True)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (a != a and b != b)


def survive(
    folder: Path, kills: int, seed: int, changed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Kill experiments in `folder` that often; an AssertionError tells what differs.

    `changed` are keys of the config, beside those that make it tiny.
    An experiment that finishes is compared and followed by another, until all kills are used.
    """
    # A shell's background jobs ignore SIGINT, and so would their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng, changed = random.Random(seed), changed or {}
    seconds = finish(folder / "whole", changed)
    whole = results(folder / "whole")
    left, experiments, where = kills, 0, collections.Counter[str]()
    while left:
        experiments += 1
        broken = folder / f"broken_{experiments}"
        while left and (found := kill_at_random(broken, changed, seconds, rng)):
            left -= 1
            where[" ".join(found)] += 1
            print(f"kill {kills - left} of {kills}: {' '.join(found)}", flush=True)
        finish(broken, changed)
        again = results(broken)
        for name, value in whole.items():
            assert same(value, again[name]), f"{name} differs in {broken}"
    return {
        "kills": kills,
        "seed": seed,
        "experiments": experiments,
        "seconds_unbroken": round(seconds, 1),
        "stage_and_signal": dict(sorted(where.items())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = survive(Path(folder), arguments.kills, arguments.seed)
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
