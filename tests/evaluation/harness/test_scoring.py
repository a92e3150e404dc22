"""Measuring many networks in chunks gives what measuring each alone gives."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from mole_jax.evaluation.harness import scoring
from mole_jax.tasks.classification import loss_and_accuracy
from tests.evaluation.conftest import Prepared


def test_chunks_and_padding_change_nothing(prepared: Prepared, monkeypatch) -> None:
    context = prepared.context
    network, data = context.family.network, context.family.device_data
    flat = context.training.final[:7]
    tasks = context.training.subset[:7]
    whole = scoring.on_pool(network, data, "test", flat, tasks)
    monkeypatch.setattr(scoring, "AT_ONCE", 3)
    chunked = scoring.on_pool(network, data, "test", flat, tasks)
    for a, b in zip(whole, chunked, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_pool_metrics_are_those_of_the_zoo(prepared: Prepared) -> None:
    context = prepared.context
    runs = context.training.runs[:5]
    flat = context.training.final[:5]
    tasks = context.training.subset[:5]
    for pool in ("validation", "test"):
        loss, accuracy = scoring.on_pool(
            context.family.network, context.family.device_data, pool, flat, tasks
        )
        np.testing.assert_allclose(loss, context.zoo.metric(f"{pool}_loss", runs)[:, -1], rtol=1e-4)
        np.testing.assert_allclose(
            accuracy, context.zoo.metric(f"{pool}_accuracy", runs)[:, -1], rtol=1e-5
        )


def test_probabilities_agree_with_labels_and_mask(prepared: Prepared) -> None:
    context = prepared.context
    network, data = context.family.network, context.family.device_data
    flat, task = context.training.final[0], context.training.subset[0]
    p = scoring.probabilities(network, data, "test", flat[None], task[None])[0]
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
    labels, mask = scoring.answers(data, "test", int(task))
    _, accuracy = scoring.on_pool(network, data, "test", flat[None], task[None])
    assert np.isclose((p.argmax(-1) == labels)[mask].mean(), accuracy[0])


def test_a_network_that_diverged_guesses(prepared: Prepared) -> None:
    context = prepared.context
    network, data = context.family.network, context.family.device_data
    flat, tasks = context.training.final[:3].copy(), context.training.subset[:3]
    whole = scoring.probabilities(network, data, "test", flat, tasks)
    flat[1, 0] = np.nan
    flat[2, -1] = np.inf
    p = scoring.probabilities(network, data, "test", flat, tasks)
    np.testing.assert_array_equal(p[0], whole[0])
    np.testing.assert_allclose(p[1:], 1 / network.n_classes, rtol=1e-6)


def test_masked_support_examples_do_not_count(prepared: Prepared) -> None:
    context = prepared.context
    episodes = context.splits["S1"].first()
    mask = np.zeros_like(episodes.support.mask)
    mask[..., ::2] = True
    half = episodes.support._replace(mask=mask)
    flat = episodes.starts
    loss, _ = scoring.on_examples(context.family.network, flat, half)
    inputs, labels = half.inputs[0, 0, ::2], half.labels[0, 0, ::2]
    params = context.family.network.spec.unflatten(jnp.asarray(flat[0, 0]))
    direct, _ = loss_and_accuracy(
        context.family.network.apply(params, jnp.asarray(inputs)),
        jnp.asarray(labels),
        jnp.ones(len(labels), bool),
    )
    np.testing.assert_allclose(loss[0, 0], direct, rtol=1e-5)
