"""Noise: the retrieved network with Gaussian noise, as much as serves best on training subsets."""

from __future__ import annotations

import zlib

import numpy as np

from mole_jax.evaluation import measure
from mole_jax.evaluation.baselines import retrieval
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.parts import Done, Found


def choose(bench: Bench, done: Done) -> Found:
    """The noise level with the best mean validation score on training subsets."""
    sigmas = np.array(bench.settings["noise_sigmas"])
    cases = bench.choice
    nearest = retrieval.neighbours(bench, "choice", done)["order"][..., 0]  # [T, N]
    best = bench.training.final[nearest]
    noisy = np.stack([add(bench, best, sigma, "choice") for sigma in sigmas], axis=2)
    _, score = measure.on_pool(
        bench.family.network,
        bench.family.device_data,
        "validation",
        noisy,
        cases.tasks[:, None, None],
    )  # [T, N, sigmas]
    score = score.mean((0, 1))
    return {
        "sigmas": sigmas,
        "validation_score": score,
        "chosen": sigmas[np.argmax(score)],
    }


def add(bench: Bench, flat: np.ndarray, sigma: float, name: str) -> np.ndarray:
    """Networks [T, N, D] with noise of `sigma` times each tensor's spread over the zoo.

    The noise depends on the config's seed and on `name`.
    """
    rng = np.random.default_rng([bench.config["seed"], zlib.crc32(name.encode())])
    noise = rng.standard_normal(flat.shape, np.float32)
    return flat + np.float32(sigma) * bench.training.scale * noise
