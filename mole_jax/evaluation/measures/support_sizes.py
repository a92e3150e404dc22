"""How many labelled examples it takes."""

from __future__ import annotations

import dataclasses

import numpy as np

from mole_jax.evaluation import measure, settings
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.cases import Cases
from mole_jax.evaluation.generated import predict
from mole_jax.evaluation.parts import Done, Found


def score(bench: Bench, split: str, done: Done) -> Found:
    """Test score by size of the support set, for the first start of every task.

    Returns:
        sizes: [K] examples in all; score: [K, T].
    """
    cases = bench.splits[split].first()
    found = []
    for per_class in settings.support_sizes(bench.config):
        flat = predict(
            bench.predictors["diffusion"],
            fewer(cases, per_class, bench.family.n_classes),
            float(done["prompt.diffusion"]["chosen"]),
            bench.key(f"support sizes {split}"),
        )
        _, reached = measure.on_pool(
            bench.family.network,
            bench.family.device_data,
            "test",
            flat,
            cases.tasks[:, None],
        )
        found.append(reached[:, 0])
    n_classes = bench.family.n_classes
    sizes = n_classes * np.array(settings.support_sizes(bench.config))
    return {"sizes": sizes, "score": np.array(found)}


def fewer(cases: Cases, per_class: int, n_classes: int) -> Cases:
    """The cases with all but `per_class` support examples of each class masked."""
    mask = cases.support.mask  # [T, N, n], class by class
    each = mask.shape[-1] // n_classes
    keep = np.arange(mask.shape[-1]) % each < per_class
    return dataclasses.replace(cases, support=cases.support._replace(mask=mask & keep))
