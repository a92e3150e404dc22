"""Predictions for episodes: batching changes nothing, and conditions go where they belong."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from mole_jax.evaluation.harness import prediction
from mole_jax.evaluation.harness.episodes import shuffled_tasks
from mole_jax.evaluation.measures import prompt_following, support_sizes
from tests.evaluation.conftest import Prepared


def test_prompts_of_a_case_are_answered_in_their_own_places(prepared: Prepared) -> None:
    """The regression model draws no noise, so that a network depends on its case alone."""
    context = prepared.context
    episodes = context.splits["S1"]
    key = jax.random.key(0)
    asked = np.array([0.1, 0.5, 1.0], np.float32)
    target = np.broadcast_to(asked, (*episodes.shape, 3))
    together = prediction.predict(context, "regression", episodes, target, key)
    assert together.shape == (*episodes.shape, 3, context.family.network.spec.size)
    for i, prompt in enumerate(asked):
        alone = prediction.predict(context, "regression", episodes, float(prompt), key)
        np.testing.assert_allclose(together[:, :, i], alone, rtol=1e-4, atol=1e-5)
    later = episodes.first()
    alone = prediction.predict(context, "regression", later, 0.5, key)
    np.testing.assert_allclose(alone, together[:, :1, 1], rtol=1e-4, atol=1e-5)


def test_the_same_key_gives_the_same_networks(prepared: Prepared) -> None:
    context = prepared.context
    episodes = context.splits["S0"]
    first, again, other = (
        prediction.predict(context, context.learner, episodes, 0.2, jax.random.key(seed))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_the_grid_runs_from_the_best_loss_to_the_starts(prepared: Prepared) -> None:
    context = prepared.context
    episodes = context.splits["S1"]
    grid = prompt_following.grid(context, episodes)
    np.testing.assert_allclose(grid[..., 0], context.training.median_final)
    np.testing.assert_allclose(grid[..., -1], episodes.start_metric, rtol=1e-6)
    spaces = np.diff(grid, axis=-1)
    np.testing.assert_allclose(spaces, spaces[..., :1] * np.ones_like(spaces), rtol=1e-6)


def test_starts_and_their_metrics_are_the_first_snapshots(prepared: Prepared) -> None:
    context = prepared.context
    for split, episodes in context.splits.items():
        for t, task in enumerate(episodes.tasks):
            runs = context.zoo.select(split=split, subset=int(task))[: episodes.shape[1]]
            np.testing.assert_array_equal(
                episodes.starts[t], context.zoo.parameters(runs, [0])[:, 0]
            )
            stored = context.zoo.metric("validation_loss", runs)[:, 0]
            np.testing.assert_array_equal(episodes.start_metric[t], stored)


def test_support_sets_are_of_the_support_pool_and_differ(prepared: Prepared) -> None:
    context = prepared.context
    episodes = context.splits["S1"]
    table = context.family.pools["support"]
    for t in range(episodes.shape[0]):
        own = context.family.inputs[
            table.indices[context.family.classes[episodes.tasks[t]]].reshape(-1)
        ]
        for image in episodes.support.inputs[t].reshape(-1, own.shape[-1]):
            assert (own == image).all(1).any()
    flat = episodes.support.inputs.reshape(-1, *episodes.support.inputs.shape[2:])
    assert not np.array_equal(flat[0], flat[1])


def test_fewer_support_examples_keep_so_many_of_each_class(prepared: Prepared) -> None:
    episodes = prepared.context.splits["S1"]
    fewer = support_sizes.fewer(episodes, 2, 3).support
    for labels, mask in zip(fewer.labels[:, 0], fewer.mask[:, 0], strict=True):
        np.testing.assert_array_equal(np.bincount(labels[mask]), 2)
    assert dataclasses.replace(episodes, support=fewer).shape == episodes.shape


def test_shuffled_tasks_have_no_fixed_point() -> None:
    for n in (2, 3, 52):
        other = shuffled_tasks(np.full(n, 5), seed=0)
        assert sorted(other) == list(range(n))
        assert (other != np.arange(n)).all()
