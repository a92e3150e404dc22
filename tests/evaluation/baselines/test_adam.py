"""Adam baselines: the zoo's own training from the zoo's own starts, or the support set alone."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from mole_jax.core import rng
from mole_jax.evaluation.baselines import adam, baseline
from mole_jax.evaluation.baselines.adam_support import AdamSupport
from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.measure import Job, Results
from tests.evaluation.conftest import Prepared


def test_adam_is_the_training_of_the_zoo(prepared: Prepared) -> None:
    """Same start, minibatch keys and learning rate: the same network as the stored run."""
    context = prepared.context
    episodes = context.splits["S1"]
    runs = np.array([context.zoo.select(subset=int(task))[:2] for task in episodes.tasks])
    rates = context.zoo.runs["learning_rate"][runs]
    key = rng.named(rng.key(prepared.config.seed), "population")
    curves = adam.run(context, episodes.tasks, episodes.starts, rates, key)
    assert curves.steps[-1] == context.zoo.steps[-1]
    for name in ("validation_loss", "test_loss", "test_score"):
        of_zoo = name.replace("score", context.family.score)
        stored = context.zoo.metric(of_zoo, runs.reshape(-1))[:, [0, -1]].reshape(*runs.shape, 2)
        np.testing.assert_allclose(curves.metrics[name][..., [0, -1]], stored, rtol=1e-4, atol=1e-5)


def test_adam_improves_on_its_starts(prepared: Prepared) -> None:
    context = prepared.context
    results = Results(context)
    for measure, split in ((adam.RATE, "choice"), (adam.MEASURE, "S1")):
        found = measure.compute(context, split, results)
        results.found[Job(measure, split, "")] = found
    loss = results.of(adam.MEASURE, "S1").test_loss
    assert (loss[..., -1] < loss[..., 0]).all()


def test_the_answer_is_where_training_ends(prepared: Prepared) -> None:
    """The networks that Adam answers with are as good as the ends of its curves."""
    context = prepared.context
    rate = adam.AdamRate(np.array([3e-3]), np.zeros(1), np.array(3e-3))
    episodes, key = context.splits["S1"], context.key("adam")
    each = np.full(episodes.shape, 3e-3, np.float32)
    curves = adam.run(context, episodes.tasks, episodes.starts, each, key)
    flat = baseline.ask(adam.Adam(context), rate, episodes, key)
    np.testing.assert_array_equal(flat, curves.networks)
    loss, score = scoring.on_own_tasks(context.family, "test", flat, episodes.tasks)
    np.testing.assert_allclose(loss, curves.metrics["test_loss"][..., -1], rtol=1e-4)
    np.testing.assert_allclose(score, curves.metrics["test_score"][..., -1], atol=1e-6)


def test_adam_support_sees_the_support_set_only(prepared: Prepared) -> None:
    """Without the training pool's images it gives the same networks; with other support images it
    does not.
    """
    context = prepared.context
    episodes = context.splits["S1"].flat()
    data = context.family.device_data
    rows, _ = data.tables["train"]
    empty = dataclasses.replace(
        data, pixels=data.pixels.astype(np.float32).at[rows.reshape(-1)].set(np.nan)
    )
    family = dataclasses.replace(context.family)
    family.__dict__["device_data"] = empty
    rate, key = 3e-3, jax.random.key(0)

    solver = AdamSupport(context)
    with_pool = solver.train(rate, episodes, key)
    blind = AdamSupport(dataclasses.replace(context, family=family))
    without = blind.train(rate, episodes, key, measured=("train",))
    assert np.isnan(without.metrics["train_loss"]).all()
    np.testing.assert_array_equal(with_pool.networks, without.networks)
    other = episodes.support._replace(inputs=-episodes.support.inputs)
    changed = solver.train(rate, episodes._replace(support=other), key)
    assert not np.allclose(changed.networks, with_pool.networks)


def test_adam_support_ends_at_the_chosen_step(prepared: Prepared) -> None:
    """What is not asked for is not trained, and the rest is as it would be."""
    solver = AdamSupport(prepared.context)
    episodes, key = prepared.context.splits["S1"].flat(), jax.random.key(0)
    whole = solver.train(3e-3, episodes, key, measured=("test",))
    part = solver.train(3e-3, episodes, key, 2, measured=("test",))
    np.testing.assert_array_equal(part.steps, whole.steps[:3])
    for name, values in part.metrics.items():
        np.testing.assert_allclose(values, whole.metrics[name][..., :3], rtol=1e-4, atol=1e-6)
    loss, _ = scoring.on_own_tasks(
        prepared.context.family, "test", part.networks[:, 0], episodes.task
    )
    np.testing.assert_allclose(loss, whole.metrics["test_loss"][:, 0, 2], rtol=1e-4)
    unseen = solver.train(3e-3, episodes, key, 2, measured=())  # nobody looks at it on the way
    assert not unseen.metrics
    np.testing.assert_allclose(unseen.networks, part.networks, rtol=1e-4, atol=1e-6)
