"""Retrieval: the final network that is best on the support set, or of the most similar task."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.evaluation.baselines.baseline import Baseline, ScoredNetworks, tested
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.measure import Measure, Results
from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network


class Neighbours(NamedTuple):
    """The networks of the zoo that are nearest to each episode."""

    order: np.ndarray  # [T, N, n] rows of `context.training`, best first


def neighbours(context: EvalContext, split: str, results: Results) -> Neighbours:
    """Rank the zoo's networks for every episode."""
    return Neighbours(rank(context, split))


def networks(context: EvalContext, split: str, results: Results) -> ScoredNetworks:
    """Copy the nearest network."""
    nearest = results.of(NEIGHBOURS, split).order[..., 0]  # [T, N]
    return tested(context, split, context.training.final[nearest])


def rank(context: EvalContext, split: str) -> np.ndarray:
    """Rank the final networks of the training runs by their loss on each episode's support set.

    Where support sets have no labels, by the strangeness of their tasks.

    Only the best run of each data subset is kept, and never one of the episode's own subset: on a
    training subset retrieval would otherwise find a network that was trained on the task itself.
    In a zoo of one task all runs are; there retrieval is its best run on the validation pool, and
    the soup is of the best ones.

    Returns:
        [T, N, n] rows of `context.training`, best first, of n different data subsets. The first is
        retrieval, all of them make the soup; n is soup_size, or fewer where the zoo has fewer
        subsets.
    """
    episodes, training = context.episodes(split), context.training
    if context.one_task:
        best = np.argsort(training.selection_loss, kind="stable")[: context.evaluation["soup_size"]]
        return np.broadcast_to(best, (*episodes.shape, len(best))).copy()
    if context.family.labelled:
        losses = support_losses(context.family.network, training.final, episodes)  # [T, N, R]
    else:
        losses = np.repeat(strangeness(context, episodes)[:, None], episodes.shape[1], axis=1)
    n = min(context.evaluation["soup_size"], len(np.unique(training.subset)) - 1)
    order = np.empty((*episodes.shape, n), np.int64)
    for t, task in enumerate(episodes.tasks):
        for i in range(episodes.shape[1]):
            order[t, i] = _best(losses[t, i], training.subset, int(task), n)
    return order


def strangeness(context: EvalContext, episodes: EpisodeGrid) -> np.ndarray:
    """Measure how strange the training runs' tasks are to each episode's own: [T, R].

    What tasks without labels have in common are their dynamics: the mean squared difference of
    what happens in the same situations. They are those of the true parameters, which retrieval
    knows and the model does not. Of one task's runs the one with the lower loss counts as nearer.
    """
    dynamics = np.asarray(context.family.device_data.dynamics(context.key("dynamics")))
    dynamics = dynamics.reshape(len(dynamics), -1)
    apart = [
        np.mean((dynamics[context.training.subset] - dynamics[task]) ** 2, axis=1)
        for task in episodes.tasks
    ]
    return np.array(apart) * (1 + 1e-6 * context.training.selection_loss)


def support_losses(network: Network, flat: np.ndarray, episodes: EpisodeGrid) -> np.ndarray:
    """Measure the loss of R networks [R, D] on the support set of every episode: [T, N, R]."""
    support = jax.tree.map(lambda x: jnp.asarray(x.reshape(-1, *x.shape[2:])), episodes.support)
    return np.asarray(_losses(network, jnp.asarray(flat), support)).reshape(*episodes.shape, -1)


def _best(losses: np.ndarray, subset: np.ndarray, own: int, n: int) -> np.ndarray:
    ranked = np.argsort(np.nan_to_num(losses, nan=np.inf), kind="stable")
    ranked = ranked[subset[ranked] != own]
    _, first = np.unique(subset[ranked], return_index=True)  # where each subset comes up first
    return ranked[np.sort(first)[:n]]


@functools.partial(jax.jit, static_argnums=0)
def _losses(network: Network, flat: jax.Array, support: Examples) -> jax.Array:
    params = network.spec.unflatten(flat)

    def of_episode(examples: Examples) -> jax.Array:
        logits = jax.vmap(network.apply, (0, None))(params, examples.inputs)  # [R, n, K]
        return loss_and_accuracy(logits, examples.labels, examples.mask)[0]

    return jax.lax.map(of_episode, support)


NEIGHBOURS = Measure("neighbours", Neighbours, neighbours)
MEASURE = Measure("retrieval", ScoredNetworks, networks, needs=(NEIGHBOURS,))
BASELINE = Baseline(
    "Retrieval", "The final network of the training subset most like the new one.", MEASURE
)
