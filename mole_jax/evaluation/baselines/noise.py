"""Noise: the retrieved network with Gaussian noise, as much as serves best on training subsets."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

from mole_jax.evaluation.baselines import retrieval
from mole_jax.evaluation.baselines.baseline import Baseline, ScoredNetworks, tested
from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, Record, Results


class NoiseLevel(NamedTuple):
    """Levels of noise and how well they serve on training subsets."""

    sigmas: np.ndarray  # [sigmas]
    validation_score: np.ndarray  # [sigmas]
    chosen: np.ndarray  # []


def choose(context: EvalContext, split: str, results: Results) -> NoiseLevel:
    """Choose the noise level with the best mean validation score on training subsets."""
    sigmas = np.array(context.evaluation["noise_sigmas"])
    best = context.training.final[retrieval.rank(context, split)[..., 0]]
    noisy = np.stack([add(context, best, sigma, split) for sigma in sigmas], axis=2)
    tasks = context.choice.tasks
    _, score = scoring.on_own_tasks(context.family, "validation", noisy, tasks)  # [T, N, sigmas]
    score = score.mean((0, 1))
    return NoiseLevel(sigmas, score, sigmas[np.argmax(score)])


def networks(context: EvalContext, split: str, results: Results) -> ScoredNetworks:
    """Add noise to the networks that retrieval finds."""
    sigma = float(results.of(LEVEL).chosen)
    best = results.of(retrieval.MEASURE, split).parameters
    return tested(context, split, add(context, best, sigma, split))


def add(context: EvalContext, flat: np.ndarray, sigma: float, name: str) -> np.ndarray:
    """Return networks [T, N, D] with noise of `sigma` times each tensor's spread over the zoo.

    The noise depends on the config's seed and on `name`.
    """
    rng = np.random.default_rng([context.config["seed"], zlib.crc32(name.encode())])
    noise = rng.standard_normal(flat.shape, np.float32)
    return flat + np.float32(sigma) * context.training.scale * noise


def _record(context: EvalContext, split: str, results: Results) -> Record:
    return {"noise_sigma": float(results.of(LEVEL).chosen)}


LEVEL = Measure("noise_level", NoiseLevel, choose, "choice", record=_record)
MEASURE = Measure("noise", ScoredNetworks, networks, needs=(LEVEL, retrieval.MEASURE))
BASELINE = Baseline("Noise", "A training network with random noise added to its weights.", MEASURE)
