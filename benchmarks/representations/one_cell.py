"""One training of the study: as large and as long as all others, evaluated alike."""

from __future__ import annotations

import functools
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import on_zoo
from benchmarks.representations import cells
from benchmarks.representations.cells import EXPERIMENTS, Cell
from mole_jax import experiment, representation
from mole_jax import main as command
from mole_jax.core.program import config as configs
from mole_jax.core.program import stages
from mole_jax.core.storage import files
from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext, load_context
from mole_jax.learners import registry
from mole_jax.tasks import family as families
from mole_jax.tasks.family import TaskFamily

ROOT = Path(__file__).parents[2]
PROBE = 50  # steps by which the speed of a training is measured: the second half of them
_REGRESSION = "regression"


def speed(folder: Path, cell: Cell) -> float:
    """Return a cell's steps a second, measured once for all seeds.

    Measured before anything is trained at length, so that a machine that is used meanwhile has as
    little as possible to do with how long a medium is trained.
    """
    file = folder / "speeds" / f"{cell.without_seed}.json"
    if not file.exists():
        changes, zoo = _changes(cell), _zoo(folder, cell)
        on_zoo.make(_config(cell, changes), zoo)
        trial = folder / "trials" / cell.name
        on_zoo.train(_config(cell, {**changes, **_steps(cell, PROBE)}), zoo, trial)
        lines = (trial / "train" / _learner(cell) / "metrics.jsonl").read_text().splitlines()
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(file, json.loads(lines[-1])["steps_per_second"])
    return float(json.loads(file.read_text()))


def run(folder: Path, cell: Cell, seconds: float) -> dict[str, Any]:
    """Train and evaluate a cell, or read what an earlier run of it has left; return its record."""
    file = folder / "cells" / f"{cell.name}-{seconds:g}.json"
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    steps = max(int(seconds * speed(folder, cell)), PROBE)
    began = time.monotonic()
    changes, zoo = _changes(cell), _zoo(folder, cell)
    on_zoo.make(_config(cell, changes), zoo)
    workdir = folder / "runs" / f"{cell.name}-{seconds:g}"
    config = _config(cell, {**changes, **_steps(cell, steps)})
    family = families.build(config)
    on_zoo.train(config, zoo, workdir)
    _copy_adam(zoo / "adam", workdir / "evaluate" / "results")
    stages.run(workdir, command.STAGES, ["evaluate", "report"], config)
    _copy_adam(workdir / "evaluate" / "results", zoo / "adam")
    found = {
        **cell._asdict(),
        "seconds": seconds,
        "steps": steps,
        "width": changes["metamodel.width"],
        "parameters": _size(_config(cell, changes), family),
        "network_size": family.network.spec.size,
        "tokens": _tokens(config, family),
        **_judged(workdir, cell),
        "reconstruction": _reconstruction(load_context(config, workdir)),
        "took": round(time.monotonic() - began, 1),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(file, found)
    return found


@functools.cache
def _changes(cell: Cell) -> Mapping[str, Any]:
    changes = cells.changes(cell)
    family = families.build(_config(cell, changes))
    return {**changes, "metamodel.width": width(cell, changes, family)}


def _zoo(folder: Path, cell: Cell) -> Path:
    start = "shared" if cell.shared_start else "own"
    return folder / "zoos" / f"{cell.experiment}-{start}-{cell.seed}"


def _copy_adam(source: Path, target: Path) -> None:
    """Copy what Adam reaches on the tasks of a zoo: it is the same for all cells, and slow."""
    target.mkdir(parents=True, exist_ok=True)
    for file in source.glob("adam*.npz"):
        if not (target / file.name).exists():
            shutil.copy(file, target)


def width(cell: Cell, changes: Mapping[str, Any], family: TaskFamily) -> int:
    """Return the width with which a meta-model has about as many parameters as with units."""
    base = cells.changes(cell._replace(medium="neuron", follows=True, parametrisation="edm"))
    plain = _config(cell, base | {"population.shared_start": cell.shared_start})
    wanted, step = _size(plain, family), int(np.lcm(plain["metamodel"]["heads"], 8))

    def size(width: int) -> int:
        return _size(_config(cell, {**changes, "metamodel.width": width}), family)

    # Parameters grow about with the square of the width: near that guess one fits.
    first = plain["metamodel"]["width"]
    guess = round(first * (wanted / size(first)) ** 0.5 / step) * step
    tried = {max(step, guess + shift) for shift in (-step, 0, step)}
    return min(tried, key=lambda width: abs(np.log(size(width) / wanted)))


def _config(cell: Cell, changes: Mapping[str, Any]) -> Any:
    config = configs.load(str(ROOT / "configs" / EXPERIMENTS[cell.experiment].config))
    return experiment.change(config, changes)


def _size(config: Any, family: TaskFamily) -> int:
    return _sized(config.to_json(sort_keys=True), family.network)


@functools.lru_cache(maxsize=256)
def _sized(text: str, network: Any) -> int:
    config = json.loads(text)
    learner = registry.build(config, network, "diffusion", representation.shapes(config, network))
    theta = jax.eval_shape(learner.init, jax.random.key(0))
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(theta))


def _tokens(config: Any, family: TaskFamily) -> list[int]:
    built = representation.build(
        config, family.network, representation.shapes(config, family.network)
    )
    return list(built.layout.shape)


def _steps(cell: Cell, steps: int) -> dict[str, Any]:
    """Return the keys that say how long is trained, of diffusion or of regression in its place."""
    of_both = (PROBE, steps) if cell.parametrisation == _REGRESSION else (steps, 0)
    return {
        "training.steps": of_both[0],
        "training.regression_steps": of_both[1],
        "training.warmup_steps": min(100, max(steps // 10, 1)) if of_both[0] > PROBE else 5,
        "training.steps_per_dispatch": PROBE // 2,
        "training.checkpoint_every": 10**6,
    }


def _learner(cell: Cell) -> str:
    return _REGRESSION if cell.parametrisation == _REGRESSION else "diffusion"


def _judged(workdir: Path, cell: Cell) -> dict[str, Any]:
    """Return what the evaluation says of each split."""
    record = json.loads((workdir / "report" / "evaluation.json").read_text())
    found: dict[str, Any] = {"hardware": record["hardware"], "splits": {}}
    for split, own in record["splits"].items():
        of_it = own["generated"]
        if cell.parametrisation == _REGRESSION:
            of_it = own["baselines"][_REGRESSION]
        found["splits"][split] = {
            "n_tasks": own["n_tasks"],
            "mean": of_it["mean"],
            "ci95": of_it["ci95"],
            "loss": of_it["loss_mean"],
            "adam": own["adam"]["mean"],
            "r2": own.get("prompt_alignment", {}).get("r2_mean"),
            **{k: own.get("novelty", {}).get(k) for k in ("rho", "z_u", "diversity")},
        }
        if "learner_costs" in own:
            found["cost"] = own["learner_costs"][_learner(cell)]
    return found


def _reconstruction(context: EvalContext) -> dict[str, float]:
    """Return the score of held-out networks as they are, and after encoding and decoding."""
    learner: Any = context.learners["diffusion"].trained.learner
    tokens = learner.model.representation
    runs = context.zoo.select(split=context.main_split, finite=True)[:64]
    flat = context.zoo.parameters(runs, [-1])[:, 0]
    back = np.asarray(jax.jit(lambda r, x: r.parameters(r.tokens(x)))(tokens, flat))
    tasks = context.zoo.runs["subset"][runs]
    data = context.family.device_data
    before, after = (
        float(scoring.on_pool(context.family.network, data, "test", x, tasks)[1].mean())
        for x in (flat, back)
    )
    return {"as they are": before, "decoded": after}
