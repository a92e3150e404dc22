"""One tiny experiment, evaluated once for all tests of this folder."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from mole_jax.core.program import stages
from mole_jax.core.program.stages import Stage
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.core.storage.files import read_json
from mole_jax.evaluation import evaluate as evaluation
from mole_jax.evaluation.harness.context import EvalContext, load_context
from mole_jax.evaluation.harness.kept import read_all
from mole_jax.evaluation.harness.measure import Job, Measure, Results
from mole_jax.evaluation.selection import MEASURES
from mole_jax.learners import registry, scales
from mole_jax.learners.scales import Scales
from mole_jax.main import STAGES
from mole_jax.representation.fitted import Fitted
from mole_jax.training import state as states
from tests import tiny

SETTINGS = {
    "training__regression_steps": 5,
    # An ancestor with settings to choose from, and one that writes no network.
    "learners__maml__steps": 5,
    "learners__maml__try_steps": (1, 2),
    "learners__maml__try_rates": (1.0,),
    "learners__in_context__steps": 5,
    "learners__in_context__width": 8,
    "learners__in_context__heads": 2,
    "training__best_prompts": 0.3,  # without them: see `test_one_task.py`
    "population__share_minibatches": True,
    "evaluation__starts": 2,
    "evaluation__s0_tasks": 4,
    "evaluation__prompt_count": 4,
    "evaluation__candidates": (0.5, 0.2),
    "evaluation__adam_rates": (3e-3, 1e-2),
    "evaluation__curve_points": 5,
    "evaluation__soup_size": 3,
    "evaluation__noise_sigmas": (0.05, 0.5),
    "evaluation__ensemble_size": 3,
    "evaluation__ensemble_tasks": 2,
    "evaluation__support_sizes": (1, 2),
    "evaluation__shots": (1, 2),
    "evaluation__few_shot_networks": 2,
    "evaluation__polish_steps": (1,),
    "evaluation__warped_copies": 2,
    "evaluation__novelty_count": 8,
    "evaluation__sampler_batch": 8,
    "evaluation__bootstrap": 50,
}


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A workdir in which the stages before evaluate have run, and its context."""

    config: ConfigDict
    workdir: Path
    # Samplers are compiled for a context's own models: one context for all tests.
    context: EvalContext


@dataclasses.dataclass(frozen=True)
class Evaluated(Prepared):
    """The same after evaluate."""

    used: dict[str, set[str]]  # names of the measures whose results a measure's computation used

    def json(self) -> dict[str, Any]:
        return read_json(self.workdir / "report" / "evaluation.json")

    def results(self) -> Results:
        """Return all results, as they are kept in the workdir."""
        folder = self.workdir / "evaluate" / "results"
        return read_all(folder, self.context, list(MEASURES.values()))


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    """Tests compile as the shared experiment did, so that numbers can agree to the last bit."""
    with tiny.quick_compilation():
        yield


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    config = tiny.tiny_config(**SETTINGS)
    workdir = tmp_path_factory.mktemp("evaluated")
    with tiny.quick_compilation():
        stages.run(workdir, SEQUENCE, ["zoo", "train"], config)
        return Prepared(config, workdir, load_context(config, workdir))


@pytest.fixture(scope="session")
def evaluated(prepared: Prepared) -> Evaluated:
    with tiny.quick_compilation(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "load_context", lambda *_: prepared.context)
        used = watch(patch)
        stages.run(prepared.workdir, SEQUENCE, ["evaluate"], prepared.config)
    return Evaluated(prepared.config, prepared.workdir, prepared.context, used)


def watch(patch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Note, from now on, which results the computation of each measure asks for."""
    used: dict[str, set[str]] = {name: set() for name in MEASURES}
    of, kept = Results.of, evaluation.kept
    running = threading.local()

    def kept_and_noted(folder: Path, job: Job, context: EvalContext, results: Results) -> Any:
        running.name = job.measure.name
        try:
            return kept(folder, job, context, results)
        finally:
            running.name = None

    def noted(self: Results, measure: Measure[Any], *where: str, **whose: str) -> Any:
        if name := getattr(running, "name", None):
            used[name].add(measure.name)
        return of(self, measure, *where, **whose)

    patch.setattr(evaluation, "kept", kept_and_noted)
    patch.setattr(Results, "of", noted)
    return used


def pretend_to_train(config: ConfigDict, workdir: Path) -> None:
    """Leave behind what training leaves, with random parameters in place of trained ones."""
    family, normaliser, _ = tiny.load_zoo(config, workdir)
    fitted = Fitted(normaliser, {})
    scales.write(workdir, Scales(fitted, family.scale, family.shift, start_loss=1.1))
    for objective in registry.of(config):
        learner = registry.build(config, family.network, objective, fitted)
        hyper = registry.train_config(config, objective)
        init = jax.jit(functools.partial(states.init, learner, hyper))
        state = init(jax.random.key(0))
        # The last layers start at zero, and a model that returns its start would prove little.
        rng = np.random.default_rng(0)
        ema = jax.tree.map(
            lambda x, rng=rng: x + 0.1 * jnp.asarray(rng.normal(size=x.shape), x.dtype), state.ema
        )
        state = state._replace(step=jnp.int32(hyper.steps), ema=ema)
        with Checkpoints(workdir / "train" / objective / "checkpoints") as checkpoints:
            checkpoints.save(hyper.steps, state)


ZOO, TRAIN, EVALUATE, _ = STAGES
SEQUENCE = (ZOO, Stage("train", TRAIN.sections, pretend_to_train), EVALUATE)
