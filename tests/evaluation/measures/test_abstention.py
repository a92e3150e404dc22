"""Signals that a prediction may be bad are computed from what is shown alone."""

from __future__ import annotations

import dataclasses

import numpy as np

from mole_jax.evaluation.harness import statistics
from mole_jax.evaluation.measures import abstention
from mole_jax.evaluation.measures.abstention import NETWORKS, SIGNALS, Abstention
from mole_jax.evaluation.measures.ensembles import with_many_starts
from mole_jax.tasks import pixels
from tests.evaluation.conftest import Evaluated


def test_every_split_has_signals_and_their_record(evaluated: Evaluated) -> None:
    context = evaluated.context
    record = evaluated.json()
    for split, own in context.splits.items():
        found = record["splits"][split]["abstention"]
        assert set(found) == set(SIGNALS)
        for numbers in found.values():
            values = [x for key, x in numbers.items() if key.startswith("auroc")]
            assert len(values) == 3 and all(0 <= x <= 1 for x in values)
        assert len(own.tasks)


def test_shuffled_labels_are_those_of_the_set_in_another_order(evaluated: Evaluated) -> None:
    context = evaluated.context
    episodes = with_many_starts(context, "S1", np.arange(2), NETWORKS)
    shuffled = abstention._shuffled(episodes, 0)
    before, after = (np.asarray(x.support.labels) for x in (episodes, shuffled))
    assert (before != after).any()
    np.testing.assert_array_equal(np.sort(before, axis=-1), np.sort(after, axis=-1))
    assert (after == after[:, :1]).all()  # alike for all starts
    np.testing.assert_array_equal(episodes.support.inputs, shuffled.support.inputs)


def test_networks_that_agree_do_not_disagree(evaluated: Evaluated) -> None:
    context = evaluated.context
    episodes = with_many_starts(context, "S1", np.arange(2), NETWORKS)
    one = np.repeat(episodes.starts[:, :1], NETWORKS, axis=1)
    alike = abstention._disagreement(context, one, episodes.support)
    np.testing.assert_allclose(alike, 0, atol=1e-5)
    assert (abstention._disagreement(context, episodes.starts, episodes.support) > 1e-3).all()


def test_distance_grows_with_what_is_added_to_images(evaluated: Evaluated) -> None:
    context = evaluated.context
    support = context.splits["S1"].support
    assert not abstention._distance(context, support).any()  # nothing is known of training
    mean, std = pixels.of_training(context.family) or (None, None)
    own = context.learners[context.learner]
    scales = own.trained.scales._replace(pixel_mean=mean, pixel_std=std)
    own = dataclasses.replace(own, trained=own.trained._replace(scales=scales))
    context = dataclasses.replace(context, learners={context.learner: own})
    near = abstention._distance(context, support)
    far = abstention._distance(context, support._replace(inputs=support.inputs + 3))
    assert (far > near + 1).all()


def test_the_halves_are_judged_by_one_another(evaluated: Evaluated) -> None:
    """Where nothing is shown but a half, its labels may be anything in the other one."""
    context = evaluated.context
    episodes = with_many_starts(context, "S1", np.arange(2), NETWORKS)
    results = evaluated.results()
    flat = episodes.starts
    found = abstention.signals(context, episodes, flat, "S1", results)
    assert found.shape == (len(SIGNALS), 2) and np.isfinite(found).all()
    other = dataclasses.replace(episodes, starts=episodes.starts[:, ::-1])
    again = abstention.signals(context, other, flat, "S1", results)
    np.testing.assert_array_equal(found[:3], again[:3])


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    assert statistics.auroc([3, 4], [1, 2]) == 1
    assert statistics.auroc([1, 2], [3, 4]) == 0
    assert statistics.auroc([1, 3], [1, 2]) == (0.5 + 0 + 1 + 1) / 4
    assert Abstention._fields[1:] == ("known", "shuffled", "inverted")
