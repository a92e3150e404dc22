"""One task in detail: its examples, and what the written network and Adam's answer to test images.

The task is the first of the hardest split, not picked by hand. Adam trains on the same examples.
This is for the report; nothing here is an average.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mole_jax.evaluation.baselines import adam_support
from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Arrays, Measure, Results
from mole_jax.evaluation.measures import generated
from mole_jax.tasks.images import ImageTasks

EXAMPLES = 3  # shown of each class
IMAGES = 24  # test images that are shown


class OneTask(NamedTuple):
    """K classes with n support images each, M test images, and answers to the whole test pool."""

    split: np.ndarray  # [] the name of its split
    support: np.ndarray  # [K, n, *image]; NaN if there are fewer
    images: np.ndarray  # [M, *image] the first of the test pool, class by class in turn
    truth: np.ndarray  # [M]
    answers: np.ndarray  # [2, M] of the written network, and of Adam's; -1 if it did not run
    confusions: np.ndarray  # [2, K, K] share of a class's test images that gets each answer


def measure(context: EvalContext, split: str, results: Results) -> OneTask:
    """Look at the first task of the hardest split."""
    hardest = hardest_of(tuple(context.splits))
    episodes = context.splits[hardest]
    task, data = int(episodes.tasks[0]), context.family.device_data
    assert isinstance(data, ImageTasks)
    k = int(context.family.classes_of_tasks[task])
    shape = context.family.network.input_shape
    networks = [results.of(generated.MEASURE, hardest).parameters[0, 0]]
    if results.has(adam_support.MEASURE, hardest):
        networks.append(results.of(adam_support.MEASURE, hardest).parameters[0, 0])
    tasks = np.array([task])
    labels, mask = scoring.answers(data, "test", task)
    given = np.full((2, len(labels)), -1)
    for i, flat in enumerate(networks):
        found = scoring.probabilities(context.family.network, data, "test", flat[None], tasks)[0]
        given[i] = found.argmax(-1)
    shown = _in_turn(labels, mask, k)
    pool = np.asarray(data.pool("test", tasks[0]).inputs)
    inputs, own, there = (np.asarray(x[0, 0]) for x in episodes.support[:3])
    examples = _support(inputs, own, there, k)
    return OneTask(
        np.array(hardest),
        examples.reshape(k, EXAMPLES, *shape),
        pool[shown].reshape(-1, *shape),
        labels[shown],
        given[:, shown],
        np.array([_confusion(labels[mask], row[mask], k) for row in given]),
    )


def hardest_of(splits: tuple[str, ...]) -> str:
    """Return the split that is farthest from what was trained on: S3, S2, S1, S0 in this order."""
    for kind in ("S3", "S2", "S1"):
        if found := [name for name in splits if name.startswith(kind)]:
            return found[0]
    return splits[0]


def _in_turn(labels: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    """Return positions of IMAGES test images at most: the first of each class, the second, ..."""
    rows = [np.flatnonzero(mask & (labels == c))[: -(-IMAGES // k)] for c in range(k)]
    turns = [row[i] for i in range(max(map(len, rows))) for row in rows if i < len(row)]
    return np.array(turns[:IMAGES], int)


def _support(inputs: np.ndarray, labels: np.ndarray, mask: np.ndarray, k: int) -> np.ndarray:
    """Return the first examples of each class: [K, EXAMPLES, F]."""
    found = np.full((k, EXAMPLES, inputs.shape[-1]), np.nan, np.float32)
    for c in range(k):
        rows = np.flatnonzero(mask & (labels == c))[:EXAMPLES]
        found[c, : len(rows)] = inputs[rows]
    return found


def _confusion(truth: np.ndarray, answers: np.ndarray, k: int) -> np.ndarray:
    """Return the share of each class's images that gets each answer: [K, K]."""
    counts = np.zeros((k, k))
    known = (answers >= 0) & (answers < k)
    np.add.at(counts, (truth[known], answers[known]), 1)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def _arrays(context: EvalContext, split: str, results: Results) -> Arrays:
    found = results.of(MEASURE)
    return {f"one_task_{name}": value for name, value in found._asdict().items()}


def _images(context: EvalContext) -> bool:
    return context.family.labelled and isinstance(context.family.device_data, ImageTasks)


MEASURE = Measure(
    "one_task",
    OneTask,
    measure,
    "main split",
    needs=(generated.MEASURE,),
    likes=(adam_support.MEASURE,),
    applies=_images,
    arrays=_arrays,
)
