"""Soup: the mean of the nearest training networks, their hidden units aligned to the best one's."""

from __future__ import annotations

import numpy as np

from mole_jax.evaluation.baselines import retrieval
from mole_jax.evaluation.baselines.baseline import Baseline, ScoredNetworks, tested
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, Results
from mole_jax.representation import alignment


def networks(context: EvalContext, split: str, results: Results) -> ScoredNetworks:
    """Average the nearest networks of every episode."""
    return tested(context, split, mix(context, results.of(retrieval.NEIGHBOURS, split).order))


def mix(context: EvalContext, order: np.ndarray) -> np.ndarray:
    """Average networks: order [T, N, n] rows of the training runs, best first -> [T, N, D].

    Source: Wortsman et al., Model Soups (2022), here with units matched as in Ainsworth et al.,
    Git Re-Basin (2023), since the networks do not share a start.
    """
    network, final = context.family.network, context.training.final
    soups = []
    for rows in order.reshape(-1, order.shape[-1]):
        best = final[rows[0]]
        others = [alignment.align(network, final[row], best) for row in rows[1:]]
        soups.append(np.mean([best, *others], axis=0))
    return np.array(soups, np.float32).reshape(*order.shape[:2], -1)


MEASURE = Measure("soup", ScoredNetworks, networks, needs=(retrieval.NEIGHBOURS,))
BASELINE = Baseline("Soup", "The mean of trained networks, units matched first.", MEASURE)
