"""Updates of starts that know something are compared with their starts and with fresh ones."""

from __future__ import annotations

import numpy as np

from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.measures import generated, informative_starts
from mole_jax.representation import permutation
from tests.evaluation.conftest import Evaluated

KINDS = [
    *("fresh", "half trained", "trained", "of another task"),
    *("its own answer", "support set only"),
]


def test_every_kind_is_there_and_the_fresh_one_is_the_splits_own(evaluated: Evaluated) -> None:
    context, results = evaluated.context, evaluated.results()
    found = results.of(informative_starts.MEASURE)
    assert found.kinds.tolist() == KINDS
    which = context.tasks_with_runs("S1")
    own = context.splits["S1"].first(which)
    loss, _ = scoring.on_own_tasks(context.family, "test", own.starts, own.tasks)
    np.testing.assert_allclose(found.start_loss[0], loss[:, 0], rtol=1e-4)
    answers = results.of(generated.MEASURE, "S1")
    np.testing.assert_allclose(found.start_loss[4], answers.test_loss[which, 0], rtol=1e-4)
    np.testing.assert_allclose(found.moved[0], 1)
    record = evaluated.json()["splits"]["S1"]["informative_starts"]
    assert set(record) == set(KINDS)
    assert all(np.isfinite(list(row["gain_over_start_ci95"])).all() for row in record.values())
    assert record["fresh"]["gain_over_fresh"] == 0


def test_units_in_another_order_are_no_barrier(evaluated: Evaluated) -> None:
    context = evaluated.context
    network, starts = context.family.network, context.splits["S1"].starts[:, :1]
    tasks = context.splits["S1"].tasks
    order = [np.roll(np.arange(network.sizes[s.axis]), 1) for s in network.permutations]
    moved = np.stack([permutation.permute(network, x[0], order) for x in starts])[:, None]
    _, _, _, _, apart, barrier = informative_starts._judged(context, tasks, starts, moved)
    np.testing.assert_allclose(apart, 0, atol=1e-5)
    np.testing.assert_allclose(barrier, 0, atol=1e-4)
    loss, score, *_ = informative_starts._judged(context, tasks, starts, -starts)
    assert loss.shape == score.shape == (len(tasks),)
