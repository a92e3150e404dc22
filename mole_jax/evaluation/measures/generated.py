"""The networks that everything else is about: one for each episode, at the fixed prompt."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.measure import Measure, Results
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import adaptation, fixed_prompt
from mole_jax.tasks.family import DeviceData


class Generated(NamedTuple):
    """Networks and how good they are."""

    parameters: np.ndarray  # [T, N, D]
    validation_loss: np.ndarray  # [T, N]
    validation_score: np.ndarray  # [T, N]
    test_loss: np.ndarray  # [T, N]
    test_score: np.ndarray  # [T, N]
    support_loss: np.ndarray | None = None  # [T, N], if support sets are labelled


def generate(context: EvalContext, split: str, results: Results) -> Generated:
    """Predict a network for each episode."""
    episodes, prompt = context.splits[split], fixed_prompt.of(context, results)
    key = context.key(f"generated {split}")
    asked = adaptation.of(context, results)
    flat = predict(asked, context.learner, episodes, prompt, key)
    return judged(context, episodes, flat, context.family.device_data)


def judged(
    context: EvalContext, episodes: EpisodeGrid, flat: np.ndarray, data: DeviceData
) -> Generated:
    """Measure networks [T, N, D] on the pools of `data`, and on labelled support sets."""
    network, tasks = context.family.network, episodes.tasks[:, None]
    validation = scoring.on_pool(network, data, "validation", flat, tasks)
    test = scoring.on_pool(network, data, "test", flat, tasks)
    support = None
    if context.family.labelled:
        support, _ = scoring.on_examples(network, flat, episodes.support)
    return Generated(flat, *validation, *test, support)


MEASURE = Measure(
    "generated",
    Generated,
    generate,
    needs=(fixed_prompt.MEASURE, adaptation.MEASURE),
    each_learner=True,
)
