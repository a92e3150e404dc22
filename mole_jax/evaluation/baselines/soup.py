"""Soup: the mean of the nearest training networks, their hidden units aligned to the best one's."""

from __future__ import annotations

import numpy as np

from mole_jax.evaluation.bench import Bench
from mole_jax.representation import alignment


def mix(bench: Bench, order: np.ndarray) -> np.ndarray:
    """Average networks: order [T, N, n] rows of the training runs, best first -> [T, N, D].

    Source: Wortsman et al., Model Soups (2022), here with units matched as in Ainsworth et al.,
    Git Re-Basin (2023), since the networks do not share a start.
    """
    network, final = bench.family.network, bench.training.final
    soups = []
    for rows in order.reshape(-1, order.shape[-1]):
        best = final[rows[0]]
        others = [alignment.align(network, final[row], best) for row in rows[1:]]
        soups.append(np.mean([best, *others], axis=0))
    return np.array(soups, np.float32).reshape(*order.shape[:2], -1)
