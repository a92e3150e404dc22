"""Ensembles: what averaging predictions gains, with generated and with trained networks."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.evaluation import measure
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.cases import Cases
from mole_jax.evaluation.generated import predict
from mole_jax.evaluation.parts import Done, Found
from mole_jax.population import engine
from mole_jax.population.hyperparameters import Hyperparameters


def average(bench: Bench, split: str, done: Done) -> Found:
    """Test accuracy of networks alone and of their averaged probabilities, task by task.

    Generated networks of a task differ in start and noise and share one support set. The trained
    ones are the zoo's runs of that subset, all that there are. `matched` is an ensemble of the
    first generated networks, as many as there are trained ones.

    Returns:
        KIND_single, KIND_ensemble: [T]; n_KIND: []; KIND is generated, matched or adam.
    """
    cases = bench.splits[split].first(1, bench.settings["ensemble_tasks"])
    many = with_fresh_starts(bench, cases, bench.settings["ensemble_size"])
    flat = predict(
        bench.predictors["diffusion"],
        many,
        float(done["prompt.diffusion"]["chosen"]),
        bench.key(f"ensembles {split}"),
    )
    runs = [bench.zoo.select(finite=True, subset=int(task)) for task in cases.tasks]
    n_trained = min(map(len, runs))
    trained = bench.zoo.parameters(np.concatenate([r[:n_trained] for r in runs]), [-1])
    trained = trained.reshape(len(runs), n_trained, -1)
    kinds = {"generated": flat, "matched": flat[:, :n_trained], "adam": trained}
    result: Found = {}
    for name, networks in kinds.items():
        single, together = _accuracies(bench, networks, cases.classes)
        result |= {
            f"{name}_single": single,
            f"{name}_ensemble": together,
            f"n_{name}": networks.shape[1],
        }
    return result


def with_fresh_starts(bench: Bench, cases: Cases, n: int) -> Cases:
    """The cases with n newly initialised starts each, all with the case's first support set."""
    network, n_tasks = bench.family.network, len(cases.tasks)
    low, high = bench.config["population"]["init_scale"]
    scale = jnp.full((n_tasks, n), np.sqrt(low * high), jnp.float32)
    members = jnp.arange(n_tasks * n).reshape(n_tasks, n)
    starts = engine.initial(
        network,
        bench.key("fresh starts"),
        members,
        Hyperparameters(scale, scale, scale, jnp.zeros_like(members)),
    )
    flat = np.asarray(starts)
    metric, _ = measure.on_pool(
        network, bench.family.device_data, "validation", flat, cases.classes[:, None]
    )
    support = jax.tree.map(
        lambda x: np.broadcast_to(x[:, :1], (n_tasks, n, *x.shape[2:])), cases.support
    )
    return dataclasses.replace(cases, starts=flat, start_metric=metric, support=support)


def _accuracies(
    bench: Bench, flat: np.ndarray, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean accuracy of the networks [T, E, D] alone, and accuracy of each task's average: [T]."""
    data = bench.family.device_data
    p = measure.probabilities(bench.family.network, data, "test", flat, classes[:, None])
    single, together = [], []
    for t, row in enumerate(classes):
        labels, mask = measure.answers(data, "test", row)
        single.append((p[t].argmax(-1) == labels)[:, mask].mean())
        together.append((p[t].mean(0).argmax(-1) == labels)[mask].mean())
    return np.array(single), np.array(together)
