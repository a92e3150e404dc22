"""Predictions for cases: batching changes nothing, and conditions go where they belong."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from mole_jax.evaluation import cases as cases_lib
from mole_jax.evaluation import generated
from mole_jax.evaluation.measures import prompts, support_sizes
from tests.evaluation.conftest import Evaluated


def test_prompts_of_a_case_are_answered_in_their_own_places(evaluated: Evaluated) -> None:
    """The regression model draws no noise, so that a network depends on its case alone."""
    bench = evaluated.bench
    predictor, cases = bench.predictors["regression"], bench.splits["S1"]
    key = jax.random.key(0)
    asked = np.array([0.1, 0.5, 1.0], np.float32)
    target = np.broadcast_to(asked, (*cases.shape, 3))
    together = generated.predict(predictor, cases, target, key)
    assert together.shape == (*cases.shape, 3, bench.family.network.spec.size)
    for i, prompt in enumerate(asked):
        alone = generated.predict(predictor, cases, float(prompt), key)
        np.testing.assert_allclose(together[:, :, i], alone, rtol=1e-4, atol=1e-5)
    later = cases.first()
    np.testing.assert_allclose(
        generated.predict(predictor, later, 0.5, key), together[:, :1, 1], rtol=1e-4, atol=1e-5
    )


def test_the_same_key_gives_the_same_networks(evaluated: Evaluated) -> None:
    bench = evaluated.bench
    predictor, cases = bench.predictors["diffusion"], bench.splits["S0"]
    first, again, other = (
        generated.predict(predictor, cases, 0.2, jax.random.key(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_the_grid_runs_from_the_best_loss_to_the_starts(evaluated: Evaluated) -> None:
    bench = evaluated.bench
    cases = bench.splits["S1"]
    grid = prompts.grid(bench, cases)
    np.testing.assert_allclose(grid[..., 0], bench.training.usual_best)
    np.testing.assert_allclose(grid[..., -1], cases.start_metric, rtol=1e-6)
    spaces = np.diff(grid, axis=-1)
    np.testing.assert_allclose(spaces, spaces[..., :1] * np.ones_like(spaces), rtol=1e-6)


def test_starts_and_their_metrics_are_the_first_snapshots(evaluated: Evaluated) -> None:
    bench = evaluated.bench
    for split, cases in bench.splits.items():
        for t, task in enumerate(cases.tasks):
            runs = bench.zoo.select(split=split, subset=int(task))[: cases.shape[1]]
            np.testing.assert_array_equal(cases.starts[t], bench.zoo.parameters(runs, [0])[:, 0])
            stored = bench.zoo.metric("validation_loss", runs)[:, 0]
            np.testing.assert_array_equal(cases.start_metric[t], stored)


def test_support_sets_are_of_the_support_pool_and_differ(evaluated: Evaluated) -> None:
    bench = evaluated.bench
    cases = bench.splits["S1"]
    table = bench.family.pools["support"]
    for t in range(cases.shape[0]):
        own = bench.family.inputs[table.indices[bench.family.classes[cases.tasks[t]]].reshape(-1)]
        for image in cases.support.inputs[t].reshape(-1, own.shape[-1]):
            assert (own == image).all(1).any()
    flat = cases.support.inputs.reshape(-1, *cases.support.inputs.shape[2:])
    assert not np.array_equal(flat[0], flat[1])


def test_fewer_support_examples_keep_so_many_of_each_class(evaluated: Evaluated) -> None:
    cases = evaluated.bench.splits["S1"]
    fewer = support_sizes.fewer(cases, 2, 3).support
    for labels, mask in zip(fewer.labels[:, 0], fewer.mask[:, 0], strict=True):
        np.testing.assert_array_equal(np.bincount(labels[mask]), 2)
    assert dataclasses.replace(cases, support=fewer).shape == cases.shape


def test_shuffled_tasks_have_no_fixed_point() -> None:
    for n in (2, 3, 52):
        other = cases_lib.shuffled_tasks(n, seed=0)
        assert sorted(other) == list(range(n))
        assert (other != np.arange(n)).all()
