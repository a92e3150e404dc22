"""Pairs whose target is the best snapshot after the start, and whose prompt says so."""

from __future__ import annotations

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.training import pairs as pairs_lib
from mole_jax.training.pairs import PairConfig
from tests import tiny

KEY, BATCH = jax.random.key(0), 2000


def rules(**changes: object) -> PairConfig:
    return PairConfig.of(tiny.tiny_config(**changes))


@pytest.mark.parametrize("metric", ["validation_loss", "test_accuracy"])
@pytest.mark.parametrize("spacing", [{}, {"spacing": "spacing_first", "first_start": 0.0}])
def test_best_targets_are_the_best_after_the_start(metric: str, spacing: dict) -> None:
    """Also where a run gets worse again, and where some of its metrics are not numbers."""
    table = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    table[0, 3:], table[1] = np.nan, np.nan
    table[2, 2:4] = -100 if metric.endswith("loss") else 100  # equally good: the last of them
    numbered = dataclasses.replace(rules(), metric=metric, **spacing)
    always, some = (dataclasses.replace(numbered, best_prompts=x) for x in (1.0, 0.3))
    choose = jax.jit(pairs_lib.choose, static_argnums=(0, 3))
    run, start, target = map(np.asarray, choose(always, table, KEY, BATCH))
    cost = table if metric.endswith("loss") else -table
    for r, s, found in zip(run, start, target, strict=True):
        later = np.nan_to_num(cost[r, s + 1 :], nan=1e9)
        assert found == s + 1 + np.flatnonzero(later == later.min())[-1]

    plain, mixed = choose(numbered, table, KEY, BATCH), choose(some, table, KEY, BATCH)
    chex.assert_trees_all_equal(plain[:2], mixed[:2], (run, start))
    best = np.asarray(pairs_lib._best_asked(some, KEY, BATCH))
    assert abs(best.mean() - 0.3) < 0.04
    np.testing.assert_array_equal(mixed[2], np.where(best, target, plain[2]))


def test_a_batch_has_both_kinds_of_prompts_and_all_else_is_as_without_them() -> None:
    setting = tiny.made_up(training__drop={"support": 0.0, "target_metric": 0.5, "start": 0.0})
    of = PairConfig.of(setting.config)

    def drawn(share: float) -> pairs_lib.Pairs:
        own = dataclasses.replace(of, best_prompts=share)
        data = setting.family.device_data
        return jax.jit(
            lambda key: pairs_lib.draw(
                own, setting.model.network, setting.zoo, data, setting.normaliser, key, 64
            )
        )(KEY)

    plain, mixed = drawn(0.0), drawn(0.5)
    assert plain.prompt.best is None and mixed.prompt.best is not None
    best = np.asarray(mixed.prompt.best)
    dropped = ~np.asarray(mixed.prompt.use["target_metric"])
    assert {(True, True), (True, False), (False, True), (False, False)} == set(
        zip(best.tolist(), dropped.tolist(), strict=True)
    )
    # Later snapshots of the made-up zoo are better, so the best one is the last.
    last = np.asarray(setting.zoo.metric)[:, -1]
    assert np.isin(mixed.prompt.target_metric, last)[best].all()
    chex.assert_trees_all_equal(mixed.target[~best], plain.target[~best])
    same = {"target_metric": jnp.zeros(()), "best": None}
    chex.assert_trees_all_equal(mixed.prompt._replace(**same), plain.prompt._replace(**same))
    chex.assert_trees_all_equal(mixed.images, plain.images)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(UserError, match=r"training\.best_prompts=.* must lie in \[0, 1\)"):
        rules(training__best_prompts=share)
