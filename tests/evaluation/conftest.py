"""One tiny experiment, evaluated once for all tests of this folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

from mole_jax.core import stages
from mole_jax.core.files import read_json
from mole_jax.evaluation import bench as benches
from mole_jax.evaluation.bench import Bench
from mole_jax.main import STAGES
from tests import tiny

SETTINGS = {
    "training__regression_steps": 5,
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
    "evaluation__novelty_count": 8,
    "evaluation__sampler_batch": 8,
    "evaluation__bootstrap": 50,
}


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A workdir in which zoo, train and evaluate have run."""

    config: ConfigDict
    workdir: Path
    bench: Bench

    def json(self) -> dict[str, Any]:
        return read_json(self.workdir / "report" / "evaluation.json")


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    config = tiny.tiny_config(**SETTINGS)
    workdir = tmp_path_factory.mktemp("evaluated")
    stages.run(workdir, STAGES, ["zoo", "train", "evaluate"], config)
    return Evaluated(config, workdir, benches.load(config, workdir))
