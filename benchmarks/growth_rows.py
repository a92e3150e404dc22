"""What one point of `benchmarks.growth` measures: each function gives a row's seconds.

The experiment is the demo, or `configs/glyphs_mlp.py` where tasks are many, with small networks and
short trainings: what is looked at is how time grows, not what is learned.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

import mole_jax
from mole_jax import experiment
from mole_jax import main as command
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.program import config as configs
from mole_jax.core.program import stages
from mole_jax.population import subset_runs
from mole_jax.tasks import family as families

ROOT = Path(__file__).parents[1]
ROUNDS = 5  # of what is repeated; the fastest counts
# Steps of members, and three times as many: as many as have together so many parameters to change.
FEWEST, MOST, CHANGED = 50, 10_000, 5e7
DISPATCHES, DISPATCHED = 5, 4  # of a meta-training; the first dispatch compiles and is left out
Row = dict[str, float]


def members(n: int, folder: Path) -> Row:
    """Train n members of one data subset."""
    return {"a step of all members": _population(_config("digits_mlp"), n)}


def parameters(hidden: int, folder: Path) -> Row:
    """Train eight networks of so many hidden units, meta-train on their like, and predict one."""
    config = _config(
        "digits_mlp",
        {
            "network.hidden": (hidden,),
            "representation.name": "chunk",
            "representation.chunk_size": 1024,
            "training.permute_units": True,
        },
    )
    found = {"a step of 8 members": _population(config, 8)}
    found["a meta-training step"] = _meta_trained(config, folder)
    model = mole_jax.load(folder)
    found["predicting one network"] = _fastest(_call(model, 5))
    return {"parameters": model.learner.network.spec.size, **found}


def tasks(n: int, folder: Path) -> Row:
    """Draw n training tasks, make their zoo, open it, describe it, and train on it."""
    config = _config("glyphs_mlp", {"network.hidden": (4,), "data.train_subsets": n})
    found = {"drawing tasks": _seconds(lambda: families.build(config))}
    found["making the zoo"] = _seconds(lambda: _run(config, folder, "zoo"))
    found["zoo.json, bytes"] = (folder / "zoo" / "zoo.json").stat().st_size
    step = 0.0

    def train() -> None:
        nonlocal step
        step = _meta_trained(config, folder)

    found["training, with compiling"] = _seconds(train)
    found["a meta-training step"] = step
    for name, code in (
        ("starting Python", "import mole_jax.zoo.__main__"),
        ("and opening the zoo", "from mole_jax.zoo.storage.reader import open_zoo; open_zoo(PATH)"),
        ("and info", "from mole_jax.zoo.__main__ import main; main(['info', PATH])"),
    ):
        code = code.replace("PATH", repr(str(folder / "zoo")))
        found[name] = min(_seconds(functools.partial(_python, code)) for _ in range(3))
    return found


def support(n: int, folder: Path) -> Row:
    """Predict one network from n examples of each of five classes."""
    _meta_trained(_config("digits_mlp"), folder)
    model = mole_jax.load(folder)
    call = _call(model, n)
    return {"the first prediction": _seconds(call), "predicting one network": _fastest(call)}


def networks(n: int, folder: Path) -> Row:
    """Predict n networks of a task at once, and average what they say of 1,000 images.

    The model is glyphs-8, the task of ten classes with ten examples each.
    """
    model, draw = mole_jax.load("glyphs-8"), np.random.default_rng(0)
    x, y = draw.uniform(0, 255, (1100, 64)).astype(np.float32), np.arange(100) % 10
    key = jax.random.key(0)
    nets = model.predict(x[:100], y, n=n, key=key)
    return {
        "predicting n networks": _fastest(lambda: model.predict(x[:100], y, n=n, key=key).params),
        "their mean on 1,000 images": _fastest(lambda: nets.mean(x[100:])),
    }


# The measurements of each curve, and what they are done with.
CURVES: dict[str, tuple[Callable[[int, Path], Row], tuple[int, ...]]] = {
    "members": (members, (1, 4, 16, 64, 256, 1024, 4096)),
    "parameters": (parameters, (14, 43, 143, 429, 1428, 4285)),
    "tasks": (tasks, (64, 512, 4096, 16_384, 65_536)),
    "support": (support, (1, 5, 20, 100, 300, 1000)),
    "networks": (networks, (1, 8, 64, 250, 1000)),
}


def _python(code: str) -> None:
    """Run a line of Python in a process of its own."""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.PIPE)


def _config(name: str, different: dict[str, Any] | None = None) -> ConfigDict:
    """Return an experiment with short trainings, and two networks for each task."""
    short = {
        "population.members": 2,
        "population.held_out_members": 0,
        "population.steps": 2,
        "population.snapshots": 2,
        "population.at_once": 16,
        "training.steps": DISPATCHES * DISPATCHED,
        "training.steps_per_dispatch": DISPATCHED,
        "training.checkpoint_every": DISPATCHES * DISPATCHED,
        "training.warmup_steps": 1,
        "training.batch_size": 8,
        "training.regression_steps": 0,
        "training.end_to_end_steps": 0,
    }
    config = configs.load(str(ROOT / "configs" / f"{name}.py"))
    return experiment.change(config, short | (different or {}))


def _run(config: ConfigDict, folder: Path, stage: str) -> None:
    with stages.open_workdir(folder):
        stages.run(folder, command.STAGES, [stage], config)


def _meta_trained(config: ConfigDict, folder: Path) -> float:
    """Make a zoo, if there is none, train on it, and return the seconds of a step."""
    if not stages.is_done(folder, "zoo"):
        _run(config, folder, "zoo")
    _run(config, folder, "train")
    lines = (folder / "train" / "diffusion" / "metrics.jsonl").read_text().splitlines()
    return min(1 / json.loads(line)["steps_per_second"] for line in lines[1:])


def _population(config: ConfigDict, n: int) -> float:
    """Return the seconds of a step of n members of the first data subset, all together."""
    family, mesh, subsets = families.build(config), mesh_lib.local_mesh(), np.zeros(1, int)
    found = []
    once = int(np.clip(CHANGED / (n * family.network.spec.size), FEWEST, MOST))
    for steps in (once, 3 * once):  # drawing and measuring networks is in both
        changes = {"population.members": n, "population.steps": steps}
        own = experiment.change(config.copy_and_resolve_references(), changes)
        at_once = subset_runs.members_at_once(own, family, mesh, 1, n, 100_000)
        train = functools.partial(subset_runs.train_subsets, own, family, subsets, mesh)
        found.append(_fastest(functools.partial(train, at_once=at_once)))
    return (found[1] - found[0]) / (2 * once)


def _call(model: Any, n: int) -> Callable[[], Any]:
    """Return what predicts a network from n random images of each of five classes."""
    x = np.random.default_rng(0).uniform(0, 16, (5 * n, 64)).astype(np.float32)
    y, key = np.arange(5 * n) % 5, jax.random.key(0)
    return lambda: model.predict(x, y, key=key).params


def _fastest(function: Callable[[], Any]) -> float:
    function()  # compiles
    return min(_seconds(function) for _ in range(ROUNDS))


def _seconds(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - began
