"""Retrieval: the final network that is best on the support set, or of the most similar task."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.cases import Cases
from mole_jax.evaluation.parts import Done, Found
from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network


def neighbours(bench: Bench, group: str, done: Done) -> Found:
    """Rank the final networks of the training runs by their loss on each case's support set.

    Where support sets have no labels, by the strangeness of their tasks.

    Only the best run of each data subset is kept, and never one of the case's own subset: on a
    training subset retrieval would otherwise find a network that was trained on the task itself.
    In a zoo of one task all runs are; there retrieval is its best run on the validation pool, and
    the soup is of the best ones.

    Returns:
        order: [T, N, n] rows of `bench.training`, best first, of n different data subsets. The
        first is retrieval, all of them make the soup; n is soup_size, or fewer where the zoo has
        fewer subsets.
    """
    cases = bench.groups[group]
    if bench.one_task:
        best = np.argsort(bench.training.badness, kind="stable")[: bench.settings["soup_size"]]
        return {"order": np.broadcast_to(best, (*cases.shape, len(best))).copy()}
    if bench.family.labelled:
        losses = support_losses(bench.family.network, bench.training.final, cases)  # [T, N, R]
    else:
        losses = np.repeat(strangeness(bench, cases)[:, None], cases.shape[1], axis=1)
    n = min(bench.settings["soup_size"], len(np.unique(bench.training.subset)) - 1)
    order = np.empty((*cases.shape, n), np.int64)
    for t, task in enumerate(cases.tasks):
        for i in range(cases.shape[1]):
            order[t, i] = _best(losses[t, i], bench.training.subset, int(task), n)
    return {"order": order}


def strangeness(bench: Bench, cases: Cases) -> np.ndarray:
    """How strange the tasks of the training runs are to each case's own: [T, R].

    What tasks without labels have in common are their dynamics: the mean squared difference of
    what happens in the same situations. They are those of the true parameters, which retrieval is
    told and the model is not. Of runs of one task the one with the lower loss counts as nearer.
    """
    dynamics = np.asarray(bench.family.device_data.dynamics(bench.key("dynamics")))
    dynamics = dynamics.reshape(len(dynamics), -1)
    apart = [
        np.mean((dynamics[bench.training.subset] - dynamics[task]) ** 2, axis=1)
        for task in cases.tasks
    ]
    return np.array(apart) * (1 + 1e-6 * bench.training.badness)


def support_losses(network: Network, flat: np.ndarray, cases: Cases) -> np.ndarray:
    """Loss of R networks [R, D] on the support set of every case: [T, N, R]."""
    support = jax.tree.map(lambda x: jnp.asarray(x.reshape(-1, *x.shape[2:])), cases.support)
    return np.asarray(_losses(network, jnp.asarray(flat), support)).reshape(*cases.shape, -1)


def _best(losses: np.ndarray, subset: np.ndarray, own: int, n: int) -> np.ndarray:
    ranked = np.argsort(np.nan_to_num(losses, nan=np.inf), kind="stable")
    ranked = ranked[subset[ranked] != own]
    _, first = np.unique(subset[ranked], return_index=True)  # where each subset comes up first
    return ranked[np.sort(first)[:n]]


@functools.partial(jax.jit, static_argnums=0)
def _losses(network: Network, flat: jax.Array, support: Examples) -> jax.Array:
    params = network.spec.unflatten(flat)

    def of_case(examples: Examples) -> jax.Array:
        logits = jax.vmap(network.apply, (0, None))(params, examples.inputs)  # [R, n, K]
        return loss_and_accuracy(logits, examples.labels, examples.mask)[0]

    return jax.lax.map(of_case, support)
