"""Predicting the networks of cases, always with one batch size so that a sampler compiles once."""

from __future__ import annotations

import dataclasses
import math

import jax
import numpy as np
from jax.sharding import Mesh

from mole_jax.core import rng
from mole_jax.core.devices import distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.evaluation import measure
from mole_jax.evaluation.cases import Cases
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.sampling import load as sampling
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.family import DeviceData
from mole_jax.training.train import Trained


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """A trained meta-model and how it is sampled from."""

    trained: Trained
    plan: Plan
    batch: int  # networks in a call, a multiple of the mesh's data axis
    mesh: Mesh


def predict(
    predictor: Predictor, cases: Cases, target: np.ndarray | float, key: jax.Array
) -> np.ndarray:
    """Predict a network for every case, or one for each of its prompts.

    Args:
        predictor: the meta-model.
        cases: T x N of them.
        target: the loss asked for in nats: one number, [T, N], or [T, N, P].
        key: draws the noise; the same key and shapes give the same noise.

    Returns:
        Parameters [T, N, D] or [T, N, P, D].
    """
    asked = np.asarray(target, np.float32)
    asked = np.broadcast_to(asked, cases.shape) if asked.ndim == 0 else asked
    n_cases = math.prod(cases.shape)
    of = np.repeat(np.arange(n_cases), asked.size // n_cases)  # case of each network
    starts, start_metric, support = jax.tree.map(
        lambda x: x.reshape(n_cases, *x.shape[2:]),
        (cases.starts, cases.start_metric, cases.support),
    )
    flat_target = asked.reshape(-1)
    chunks = []
    for i, first in enumerate(range(0, len(of), predictor.batch)):
        rows = np.minimum(np.arange(first, first + predictor.batch), len(of) - 1)
        case = of[rows]
        chunks.append(
            call(
                predictor,
                starts[case],
                start_metric[case],
                flat_target[rows],
                jax.tree.map(lambda x, case=case: x[case], support),
                rng.at(key, "chunk", i),
            )
        )
    # Fetched together at the end, so that the device need not wait for the next chunk.
    flat = np.concatenate([distributed.gather(x) for x in chunks])[: len(of)]
    return flat.reshape(*asked.shape, -1)


def call(
    predictor: Predictor,
    starts: np.ndarray,
    start_metric: np.ndarray,
    target: np.ndarray,
    support: Examples,
    key: jax.Array,
) -> jax.Array:
    """One call of the sampler with `batch` networks: starts [B, D] -> parameters [B, D]."""
    trained = predictor.trained
    rows = (starts, start_metric, target, support)
    here = distributed.put(rows, mesh_lib.along(predictor.mesh, "data"))
    return sampling.generate(
        trained.model,
        predictor.plan,
        trained.params,
        trained.normaliser,
        starts=here[0],
        start_metric=here[1],
        target_metric=here[2],
        support=here[3],
        key=distributed.put(key, mesh_lib.replicated(predictor.mesh)),
    )


def judged(
    predictor: Predictor, data: DeviceData, cases: Cases, flat: np.ndarray, *, labelled: bool
) -> dict[str, np.ndarray]:
    """Parameters [T, N, D] with their metrics [T, N] on the validation and the test pool.

    And on the support sets, where those are labelled.
    """
    network = predictor.trained.model.network
    result = {"parameters": flat}
    for pool in ("validation", "test"):
        result[f"{pool}_loss"], result[f"{pool}_score"] = measure.on_pool(
            network, data, pool, flat, cases.tasks[:, None]
        )
    if labelled:
        result["support_loss"], _ = measure.on_examples(network, flat, cases.support)
    return result
