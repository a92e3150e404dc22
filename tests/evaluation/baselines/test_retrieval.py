"""Retrieval, soup and noise copy from other data subsets, and from the nearest ones."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from mole_jax.evaluation.baselines import noise, retrieval, soup
from mole_jax.evaluation.harness import scoring
from mole_jax.representation import permutation
from tests.evaluation.conftest import Prepared


@pytest.mark.parametrize("group", ["choice", "S0", "S1"])
def test_no_neighbour_is_of_the_cases_own_subset(prepared: Prepared, group: str) -> None:
    context = prepared.context
    episodes = context.episodes(group)
    order = retrieval.rank(context, group)
    subsets = context.training.subset[order]  # [T, N, n]
    assert not (subsets == episodes.tasks[:, None, None]).any()
    for row in subsets.reshape(-1, subsets.shape[-1]):
        assert len(np.unique(row)) == len(row)


def test_leaving_the_own_subset_out_matters(prepared: Prepared) -> None:
    """Were it not left out, a training case would find a run of its own subset."""
    context = prepared.context
    losses = retrieval.support_losses(
        context.family.network, context.training.final, context.choice
    )
    best = context.training.subset[losses[:, 0].argmin(-1)]
    assert (best == context.choice.tasks).any()


def test_the_first_neighbour_is_the_best_on_the_support_set(prepared: Prepared) -> None:
    context = prepared.context
    episodes = context.splits["S1"]
    order = retrieval.rank(context, "S1")
    losses = retrieval.support_losses(context.family.network, context.training.final, episodes)
    best = np.take_along_axis(losses, order, axis=-1)
    np.testing.assert_array_equal(best[..., 0], losses.min(-1))
    assert (np.diff(best, axis=-1) >= 0).all()
    direct, _ = scoring.on_examples(
        context.family.network, context.training.final[order[..., 0]], episodes.support
    )
    np.testing.assert_allclose(best[..., 0], direct, rtol=1e-5)


def test_a_soup_of_one_network_in_other_orders_is_that_network(prepared: Prepared) -> None:
    context = prepared.context
    network, best = context.family.network, context.training.final[0]
    shuffled = [
        np.asarray(permutation.permute(network, best, permutation.random_orders(network, key)))
        for key in jax.random.split(jax.random.key(0), 2)
    ]
    same = context.training.final.copy()
    same[1:3] = shuffled
    training = dataclasses.replace(context.training, final=same)
    mixed = soup.mix(dataclasses.replace(context, training=training), np.array([[[0, 1, 2]]]))
    np.testing.assert_allclose(mixed[0, 0], best, rtol=1e-6, atol=1e-7)


def test_noise_is_as_large_as_it_says(prepared: Prepared) -> None:
    context = prepared.context
    flat = np.zeros((50, 4, context.family.network.spec.size), np.float32)
    noisy = noise.add(context, flat, 0.5, "some")
    spread = noisy.std(axis=(0, 1)) / context.training.scale
    assert np.abs(spread.mean() - 0.5) < 0.01
