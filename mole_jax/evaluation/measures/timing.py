"""What one prediction costs, in seconds."""

from __future__ import annotations

import time

import jax
import numpy as np

from mole_jax.core import rng
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.generated import call
from mole_jax.evaluation.parts import Done, Found
from mole_jax.tasks.examples import Examples

CALLS = 4


def of_sampling(bench: Bench, done: Done) -> Found:
    """Median time of a full call of the sampler, after compilation, for each network in it."""
    predictor = bench.predictors["diffusion"]
    cases = bench.splits[bench.main]
    starts, metric, support = jax.tree.map(
        lambda x: np.resize(x.reshape(-1, *x.shape[2:]), (predictor.batch, *x.shape[2:])),
        (cases.starts, cases.start_metric, cases.support),
    )
    target = np.full(predictor.batch, float(done["prompt.diffusion"]["chosen"]), np.float32)
    seconds = []
    for i in range(CALLS + 1):
        began = time.monotonic()
        key = rng.at(bench.key("timing"), "call", i)
        call(predictor, starts, metric, target, Examples(*support), key).block_until_ready()
        seconds.append(time.monotonic() - began)
    # The first call may compile.
    per_network = np.median(seconds[1:]) / predictor.batch
    return {"seconds_per_network": per_network, "batch": predictor.batch}
