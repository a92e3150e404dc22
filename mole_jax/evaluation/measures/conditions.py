"""Does the model use its conditions? Swap each for another network's and see what is lost."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from mole_jax.evaluation import measure
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.cases import Cases, shuffled_tasks
from mole_jax.evaluation.generated import predict
from mole_jax.evaluation.measures import prompts
from mole_jax.evaluation.parts import Done, Found


def swap(bench: Bench, split: str, done: Done) -> Found:
    """Test score and loss [T, 1] at the fixed prompt, right and with one condition swapped.

    support: another task's support set. target_metric: a random one of the grid's prompts instead
    of the fixed one. start: another task's start, with its loss. Noise is the same for all, and
    networks are always tested on their own task.
    """
    cases = bench.splits[split].first()
    fixed = np.full(cases.shape, float(done["prompt.diffusion"]["chosen"]), np.float32)
    other = shuffled_tasks(len(cases.tasks), bench.config["seed"])
    variants: dict[str, tuple[Cases, np.ndarray]] = {
        "right": (cases, fixed),
        "support": (
            dataclasses.replace(cases, support=jax.tree.map(lambda x: x[other], cases.support)),
            fixed,
        ),
        "target_metric": (cases, _random_prompts(bench, cases)),
        "start": (
            dataclasses.replace(
                cases, starts=cases.starts[other], start_metric=cases.start_metric[other]
            ),
            fixed,
        ),
    }
    result = {}
    for name, (swapped, target) in variants.items():
        key = bench.key(f"conditions {split}")
        flat = predict(bench.predictors["diffusion"], swapped, target, key)
        result[f"{name}_loss"], result[f"{name}_score"] = measure.on_pool(
            bench.family.network,
            bench.family.device_data,
            "test",
            flat,
            cases.tasks[:, None],
        )
    return result


def _random_prompts(bench: Bench, cases: Cases) -> np.ndarray:
    """A random prompt of its grid for each case: [T, N]."""
    grid = prompts.grid(bench, cases)  # [T, N, P]
    rng = np.random.default_rng([bench.config["seed"], 0xC04D])
    pick = rng.integers(grid.shape[-1], size=cases.shape)
    return np.take_along_axis(grid, pick[..., None], axis=-1)[..., 0]
