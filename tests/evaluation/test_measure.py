"""Measuring many networks in chunks gives what measuring each alone gives."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from mole_jax.evaluation import measure
from mole_jax.tasks.classification import loss_and_accuracy
from tests.evaluation.conftest import Evaluated


def test_chunks_and_padding_change_nothing(evaluated: Evaluated, monkeypatch) -> None:
    bench = evaluated.bench
    network, data = bench.family.network, bench.family.device_data
    flat = bench.training.final[:7]
    tasks = bench.training.subset[:7]
    whole = measure.on_pool(network, data, "test", flat, tasks)
    monkeypatch.setattr(measure, "AT_ONCE", 3)
    chunked = measure.on_pool(network, data, "test", flat, tasks)
    for a, b in zip(whole, chunked, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_pool_metrics_are_those_of_the_zoo(evaluated: Evaluated) -> None:
    bench = evaluated.bench
    runs = bench.training.runs[:5]
    flat = bench.training.final[:5]
    tasks = bench.training.subset[:5]
    for pool in ("validation", "test"):
        loss, accuracy = measure.on_pool(
            bench.family.network, bench.family.device_data, pool, flat, tasks
        )
        np.testing.assert_allclose(loss, bench.zoo.metric(f"{pool}_loss", runs)[:, -1], rtol=1e-4)
        np.testing.assert_allclose(
            accuracy, bench.zoo.metric(f"{pool}_accuracy", runs)[:, -1], rtol=1e-5
        )


def test_probabilities_agree_with_labels_and_mask(evaluated: Evaluated) -> None:
    bench = evaluated.bench
    network, data = bench.family.network, bench.family.device_data
    flat, task = bench.training.final[0], bench.training.subset[0]
    p = measure.probabilities(network, data, "test", flat[None], task[None])[0]
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
    labels, mask = measure.answers(data, "test", int(task))
    _, accuracy = measure.on_pool(network, data, "test", flat[None], task[None])
    assert np.isclose((p.argmax(-1) == labels)[mask].mean(), accuracy[0])


def test_masked_support_examples_do_not_count(evaluated: Evaluated) -> None:
    bench = evaluated.bench
    cases = bench.splits["S1"].first()
    mask = np.zeros_like(cases.support.mask)
    mask[..., ::2] = True
    half = cases.support._replace(mask=mask)
    flat = cases.starts
    loss, _ = measure.on_examples(bench.family.network, flat, half)
    inputs, labels = half.inputs[0, 0, ::2], half.labels[0, 0, ::2]
    params = bench.family.network.spec.unflatten(jnp.asarray(flat[0, 0]))
    direct, _ = loss_and_accuracy(
        bench.family.network.apply(params, jnp.asarray(inputs)),
        jnp.asarray(labels),
        jnp.ones(len(labels), bool),
    )
    np.testing.assert_allclose(loss[0, 0], direct, rtol=1e-5)
