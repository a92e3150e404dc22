"""Predict the networks of episodes, always with one batch size so that it compiles once."""

from __future__ import annotations

import math
from typing import Any, cast

import jax
import numpy as np

from mole_jax.core import rng
from mole_jax.core.devices import distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.evaluation.harness.context import EvalContext, Predictor
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.learners import answers
from mole_jax.training.learner import Classifier, Episodes


def predict(
    context: EvalContext,
    learner: str,
    episodes: EpisodeGrid,
    target: np.ndarray | float | None,
    key: jax.Array,
) -> np.ndarray:
    """Predict a network for every episode, or one for each of its prompts.

    Args:
        context: where the learners are.
        learner: the name of one of them.
        episodes: T x N of them.
        target: the prompt metric asked for: one number, [T, N], or [T, N, P]; None for the best
            that a learner with `uses.best` can give.
        key: draws the noise; the same key and shapes give the same noise.

    Returns:
        Parameters [T, N, D] or [T, N, P, D].
    """
    predictor = context.learners[learner]
    asked = np.asarray(0.0 if target is None else target, np.float32)
    asked = np.broadcast_to(asked, episodes.shape) if asked.ndim == 0 else asked
    n_episodes = math.prod(episodes.shape)
    of = np.repeat(np.arange(n_episodes), asked.size // n_episodes)  # episode of each network
    row = seen(predictor, episodes)
    flat_target = asked.reshape(-1)
    chunks = []
    for i, first in enumerate(range(0, len(of), predictor.batch)):
        rows = np.minimum(np.arange(first, first + predictor.batch), len(of) - 1)
        episode = of[rows]
        chunks.append(
            call(
                predictor,
                jax.tree.map(lambda x, episode=episode: x[episode], row),
                flat_target[rows],
                rng.at(key, "chunk", i),
                best=target is None,
            )
        )
    # Fetched together at the end, so that the device need not wait for the next chunk.
    flat = np.concatenate([distributed.gather(x) for x in chunks])[: len(of)]
    return flat.reshape(*asked.shape, -1)


def classify(
    context: EvalContext, learner: str, episodes: EpisodeGrid, inputs: np.ndarray, key: jax.Array
) -> np.ndarray:
    """Return the answers of a learner that writes no networks.

    Args:
        context: where the learners are.
        learner: the name of one of them.
        episodes: T x N of them.
        inputs: [T, M, F] of each task.
        key: draws what is random, such as the order in which examples are shown.

    Returns:
        Logits [T, N, M, K], very low for classes that a task lacks.
    """
    predictor = context.learners[learner]
    asked = cast(Classifier, predictor.trained.learner)
    flat, (_, n_starts) = episodes.flat(), episodes.shape
    n, chunks = len(flat.task), []
    for i, first in enumerate(range(0, n, predictor.batch)):
        rows = np.minimum(np.arange(first, first + predictor.batch), n - 1)
        own = jax.tree.map(lambda x, rows=rows: x[rows], flat), inputs[rows // n_starts]
        given, queries = distributed.put(own, mesh_lib.along(predictor.mesh, "data"))
        fixed = asked, predictor.trained.theta, rng.at(key, "chunk", i)
        own_learner, theta, drawn = distributed.put(fixed, mesh_lib.replicated(predictor.mesh))
        chunks.append(answers.classify(own_learner, theta, given, queries, drawn))
    logits = np.concatenate([distributed.gather(x) for x in chunks])[:n]
    return logits.reshape(*episodes.shape, *logits.shape[1:])


def seen(predictor: Predictor, episodes: EpisodeGrid) -> Episodes:
    """Return what a learner may see of the episodes, in a row: leaves [T * N, ...].

    Task numbers are hidden: only support sets show which tasks these are. Worlds to practise in go
    only to learners that use them.
    """
    flat = episodes.flat()
    world = flat.world if predictor.trained.learner.uses.pool else None
    unknown: Any = np.zeros_like(flat.task)
    return flat._replace(task=unknown, world=world)


def call(
    predictor: Predictor,
    episodes: Episodes,
    target: np.ndarray,
    key: jax.Array,
    *,
    best: bool = False,
) -> jax.Array:
    """Call the learner once with `batch` episodes and targets [B]: parameters [B, D].

    With `best`, targets are placeholders: see `answers.all_of`.
    """
    trained = predictor.trained
    rows = episodes, target
    given, asked = distributed.put(rows, mesh_lib.along(predictor.mesh, "data"))
    fixed = (trained.learner, trained.theta, key)
    learner, theta, key = distributed.put(fixed, mesh_lib.replicated(predictor.mesh))
    return answers.adapt(learner, theta, given, answers.all_of(asked, best=best), key)
