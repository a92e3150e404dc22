"""Sinusoids: MAML's and Meta-SGD's own regression, a network 1-40-40-1 from a few points.

Finn et al. 2017 (section 5.1, table 2): amplitudes in [0.1, 5], phases in [0, pi], trained on ten
points with one step. Li et al. 2017 (table 1): frequencies in [0.8, 1.2] besides, another task.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.ancestors.functions import Functions, regressor, train
from mole_jax.core import rng
from mole_jax.learners import query_loss
from mole_jax.learners.ancestors import maml
from mole_jax.learners.ancestors.descent import DescentConfig
from mole_jax.training.learner import Request

HALF = 5.0  # inputs lie in [-HALF, HALF]
AMPLITUDES, PHASES = (0.1, 5.0), (0.0, float(np.pi))


class Published(NamedTuple):
    """A figure of a paper: mean squared error, and half of its interval where it has one."""

    learner: str
    shots: int
    steps: int
    error: float
    half: float | None
    source: str


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained, and what the paper says."""

    name: str
    frequencies: tuple[float, float]
    learners: tuple[str, ...]
    shots: int  # in training
    queries: int
    batch_size: int
    steps: int
    test_tasks: int
    test_points: int  # evenly spaced; 0: as many random ones as there are shots
    tested_shots: tuple[int, ...]
    tested_steps: tuple[int, ...]
    published: tuple[Published, ...]


FINN = Setting(
    "MAML's sinusoids", (1.0, 1.0), ("maml", "fomaml"), 10, 10, 25, 70_000, 600, 0,
    (5, 10, 20), (1, 5, 10),
    tuple(
        Published("maml", 5, n, error, None, "Finn et al. 2017, table 2")
        for n, error in ((1, 0.67), (5, 0.38), (10, 0.35))
    ),
)  # fmt: skip
LI = Setting(
    "Meta-SGD's sinusoids", (0.8, 1.2), ("maml", "meta_sgd"), 5, 5, 4, 60_000, 100, 100,
    (5, 10, 20), (1,),
    (
        Published("maml", 5, 1, 1.13, 0.18, "Li et al. 2017, table 1, as quoted by others"),
        Published("meta_sgd", 5, 1, 0.90, 0.16, "Li et al. 2017, table 1, as quoted by others"),
    ),
)  # fmt: skip
SETTINGS = (FINN, LI)


def sines(frequencies: tuple[float, float], n: int, spaced: int = 0) -> Callable[..., Any]:
    """Return a function that draws a sinusoid's points: n random ones, then `spaced` even ones."""

    def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        names = "amplitude", "phase", "frequency"
        ranges = AMPLITUDES, PHASES, frequencies
        amplitude, phase, frequency = (
            jax.random.uniform(rng.named(key, name), (), minval=low, maxval=high)
            for name, (low, high) in zip(names, ranges, strict=True)
        )
        x = jax.random.uniform(rng.named(key, "x"), (n,), minval=-HALF, maxval=HALF)
        x = jnp.concatenate([x, jnp.linspace(-HALF, HALF, spaced)])
        return x[:, None], amplitude * jnp.sin(frequency * x - phase)

    return draw


def run(folder: Path, seed: int, shorter: int = 1) -> list[dict[str, Any]]:
    """Meta-train and test; `shorter` divides the steps, for a first look."""
    rows = []
    for setting in SETTINGS:
        for name in setting.learners:
            rows += _of_learner(setting, name, folder, seed, setting.steps // shorter)
    return rows


def _of_learner(
    setting: Setting, name: str, folder: Path, seed: int, steps: int
) -> list[dict[str, Any]]:
    network = regressor(1, (40, 40))
    config = DescentConfig(inner_steps=1, inner_rate=0.01)
    learner = maml.build(config, network, name)
    draw = sines(setting.frequencies, setting.shots + setting.queries)
    source = Functions(network, draw, setting.shots, setting.batch_size)
    own = folder / f"{setting.name.split()[0].rstrip('s').rstrip(chr(39))}_{name}_{seed}"
    state = train(learner, source, own, seed=seed, steps=steps, rate=1e-3)
    rows = []
    for shots in setting.tested_shots:
        points = setting.test_points
        draw = sines(setting.frequencies, shots + (0 if points else shots), points)
        tests = Functions(network, draw, shots, setting.test_tasks)
        episodes = tests.episodes(rng.named(rng.key(seed), "test"), setting.test_tasks)
        for n in setting.tested_steps:
            asked = dataclasses.replace(learner, steps=n)
            errors = np.asarray(_errors(asked, state.params, episodes))
            half = 1.96 * errors.std() / np.sqrt(len(errors))
            known = [p for p in setting.published if p[:3] == (name, shots, n)]
            rows.append(
                {
                    "setting": setting.name, "learner": learner.label.label, "shots": shots,
                    "steps": n, "error": float(errors.mean()), "half": float(half),
                    "published": known[0]._asdict() if known else None,
                    "meta_steps": steps, "seed": seed,
                }
            )  # fmt: skip
    return rows


@jax.jit
def _errors(learner: Any, theta: Any, episodes: Any) -> jax.Array:
    batch = len(episodes.start)
    request = Request(jnp.zeros(batch), {}, jnp.zeros(batch, bool))
    flat = learner.adapt(theta, episodes, request, jax.random.key(0))
    of = jax.vmap(lambda flat, query: query_loss.of_one(learner.network, flat, query)[0])
    return of(flat, episodes.query)
