"""Is it worth to let mutation evolve? A learning rule, at equal numbers of evaluations.

Schmidhuber 1987 evolved how evolution varies its programs, and had no benchmark. The claim that is
tried here: a rule whose mutation sizes evolve with it ends better than one whose mutation is fixed,
whatever size that has. Tasks are the demo's: five of ten digits.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.ancestors.functions import train
from mole_jax.core import rng
from mole_jax.core.program import config as configs
from mole_jax.learners import answers, meta_training, query_loss, registry
from mole_jax.learners.ancestors import evolved
from mole_jax.learners.ancestors.evolved import EvolvedConfig
from mole_jax.tasks import family as families
from mole_jax.tasks.images import ImageFamily
from mole_jax.training.pairs import PairConfig

DEMO = Path(__file__).parents[2] / "configs" / "digits_mlp.py"
SIGMAS = (0.003, 0.01, 0.03, 0.1)
GENERATIONS = 300
TESTS = 256  # episodes on which the mean rule is judged


def run(folder: Path, seed: int, shorter: int = 1) -> list[dict[str, Any]]:
    """Evolve rules with and without evolving mutation, from every size."""
    config = configs.load(str(DEMO))
    family = families.build(config)
    assert isinstance(family, ImageFamily)
    rows, generations = [], GENERATIONS // shorter
    for sigma in SIGMAS:
        for evolve in (True, False):
            own = EvolvedConfig(sigma=sigma, evolve_sigma=evolve)
            learner = evolved.build(own, family.network, evolved.NAME)
            hyper = dataclasses.replace(
                registry.train_config(config, registry.NAMES[0]), batch_size=own.batch_size
            )
            source = meta_training.episodes(family, PairConfig.of(config), hyper)
            place = folder / f"evolved_{sigma:g}_{'evolving' if evolve else 'fixed'}_{seed}"
            state = train(learner, source, place, seed=seed, steps=generations, rate=1.0,
                          plain=True)  # fmt: skip
            tests = dataclasses.replace(source, batch_size=TESTS)
            given = tests.draw(tests.constants, (), rng.named(rng.key(seed), "test"), 0)
            request = answers.all_of(jnp.zeros(TESTS))
            flat = answers.adapt(learner, state.params, given, request, jax.random.key(0))
            _, found = query_loss.of_networks(family.network, flat, given.query)
            lines = (place / "metrics.jsonl").read_text().splitlines()
            rows.append(
                {
                    "sigma": sigma, "evolving": evolve, "generations": generations, "seed": seed,
                    "evaluations": generations * own.population * own.batch_size,
                    "loss": float(found["loss"]), "accuracy": float(found["query_accuracy"]),
                    "curve": [json.loads(line)["best"] for line in lines],
                }
            )  # fmt: skip
    return rows
