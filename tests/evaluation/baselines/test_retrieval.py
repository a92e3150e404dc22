"""Retrieval, soup and noise copy from other data subsets, and from the nearest ones."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from mole_jax.evaluation.baselines import noise, retrieval
from mole_jax.evaluation.baselines.soup import Soup
from mole_jax.evaluation.harness import scoring
from mole_jax.learners import answers
from mole_jax.representation import permutation
from tests.evaluation.conftest import Prepared


@pytest.mark.parametrize("group", ["choice", "S0", "S1"])
def test_no_neighbour_is_of_the_cases_own_subset(prepared: Prepared, group: str) -> None:
    context = prepared.context
    episodes = context.episodes(group).flat()
    order = retrieval.build(context).rank(episodes)
    subsets = context.training.subset[order]  # [B, n]
    assert not (subsets == episodes.task[:, None]).any()
    for row in subsets:
        assert len(np.unique(row)) == len(row)


def test_leaving_the_own_subset_out_matters(prepared: Prepared) -> None:
    """Were it not left out, a training case would find a run of its own subset."""
    context = prepared.context
    losses = retrieval.build(context).losses(context.choice.flat())
    best = context.training.subset[losses.argmin(-1)]
    assert (best == context.choice.flat().task).any()


def test_the_first_neighbour_is_the_best_on_the_support_set(prepared: Prepared) -> None:
    context = prepared.context
    episodes, solver = context.splits["S1"].flat(), retrieval.build(prepared.context)
    order, losses = solver.rank(episodes), solver.losses(episodes)
    best = np.take_along_axis(losses, order, axis=-1)
    np.testing.assert_array_equal(best[:, 0], losses.min(-1))
    assert (np.diff(best, axis=-1) >= 0).all()
    final = context.training.final[order[:, 0]]
    direct, _ = scoring.on_examples(context.family.network, final, episodes.support)
    np.testing.assert_allclose(best[:, 0], direct, rtol=1e-5)


def test_a_soup_of_one_network_in_other_orders_is_that_network(prepared: Prepared) -> None:
    context = prepared.context
    network, best = context.family.network, context.training.final[0]
    shuffled = [
        np.asarray(permutation.permute(network, best, permutation.random_orders(network, key)))
        for key in jax.random.split(jax.random.key(0), 2)
    ]
    same = context.training.final.copy()
    same[1:3] = shuffled
    finals = dataclasses.replace(context.training, final=same)
    episodes = context.splits["S1"].first(np.array([0])).flat()
    nearest = dataclasses.replace(retrieval.build(context), finals=finals, known={})
    nearest.known[retrieval.digest(episodes)] = np.array([[0, 1, 2]])
    request = answers.all_of(episodes.start_metric)
    mixed = Soup(nearest).adapt(None, episodes, request, jax.random.key(0))
    np.testing.assert_allclose(mixed[0], best, rtol=1e-6, atol=1e-7)


def test_noise_is_as_large_as_it_says(prepared: Prepared) -> None:
    context = prepared.context
    solver, episodes = noise.build(context), context.splits["S1"].first().flat()
    many = jax.tree.map(lambda x: np.repeat(x, 100, axis=0), episodes)
    request, key = answers.all_of(many.start_metric), jax.random.key(0)
    level = noise.NoiseLevel(np.array([0.5]), np.zeros(1), np.array(0.5))
    added = solver.adapt(level, many, request, key) - solver.nearest.adapt(None, many, request, key)
    spread = added.std(axis=0) / context.training.scale
    assert np.abs(spread.mean() - 0.5) < 0.01
