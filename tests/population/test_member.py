"""Training a member is a plain loop, and its snapshots say what was measured on them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mole_jax.core import rng
from mole_jax.population import member, optimizer
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import History, Recipe
from mole_jax.tasks import transform_images
from mole_jax.tasks.images import ImageFamily, ImageTasks
from mole_jax.tasks.transformation import Transformation


def test_a_member_trains_like_a_plain_optax_loop(population: Any, history: History) -> None:
    """The lone loop that a newcomer would write gives the population's member (0, 0)."""
    family, data = population.family, population.family.device_data
    network, task = family.network, population.tasks[0]
    last = population.recipe.snapshot_steps[-1]
    tx = optax.adam(lambda i: 0.01 * 0.5 * (1 + jnp.cos(jnp.pi * i / last)))

    def loss(params: Any, batch: Any) -> jax.Array:
        logits = network.apply(params, batch.inputs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()

    @jax.jit
    def step(params: Any, state: Any, i: int) -> Any:
        key = rng.at(population.batch_keys[0], "minibatch", i)
        batch = data.draw("train", task, key, population.recipe.batch_size)
        updates, state = tx.update(jax.grad(loss)(params, batch), state, params)
        return optax.apply_updates(params, updates), state

    params = network.spec.unflatten(population.starts[0, 0])
    state = tx.init(params)
    snapshots = [network.spec.flatten(params)]
    for i in range(last):
        params, state = step(params, state, i)
        if i + 1 in population.recipe.snapshot_steps:
            snapshots.append(network.spec.flatten(params))
    np.testing.assert_allclose(snapshots, history.parameters[0, 0], rtol=1e-4, atol=1e-5)


def test_metrics_are_those_of_the_snapshots_on_whole_pools(
    population: Any, history: History
) -> None:
    family: ImageFamily = population.family
    assert set(history.metrics) == set(member.metrics("accuracy"))
    apply = jax.jit(lambda flat, x: family.network.apply(family.network.spec.unflatten(flat), x))
    group, one = 1, 0
    for split in member.POOLS:
        table = family.pools[split]
        rows = [table.indices[c, : table.counts[c]] for c in family.classes[group]]
        labels = np.repeat(np.arange(3), [len(r) for r in rows])
        for snapshot, flat in enumerate(history.parameters[group, one]):
            logits = np.asarray(apply(flat, family.inputs[np.concatenate(rows)]))
            log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            loss = -log_p[np.arange(len(labels)), labels].mean()
            accuracy = (logits.argmax(-1) == labels).mean()
            measured = {k: v[group, one, snapshot] for k, v in history.metrics.items()}
            np.testing.assert_allclose(measured[f"{split}_loss"], loss, rtol=1e-4)
            np.testing.assert_allclose(measured[f"{split}_accuracy"], accuracy, rtol=1e-5)


def test_the_first_snapshot_is_the_start(population: Any, history: History) -> None:
    np.testing.assert_array_equal(history.parameters[:, :, 0], population.starts)


def test_training_lowers_the_loss(population: Any, history: History) -> None:
    for split in member.POOLS:
        loss = history.metrics[f"{split}_loss"]
        assert np.all(loss[..., -1] < loss[..., 1])
        assert np.all(loss[..., 1] < loss[..., 0])
    assert history.metrics["test_accuracy"][..., -1].mean() > 0.75  # chance is 0.33


def test_a_schedule_may_change_with_epochs_only() -> None:
    recipe = Recipe((0, 12), 8, "cosine", ("sgd",), False, epoch_steps=4)
    found = [float(member.scheduled(recipe, i)) for i in range(12)]
    expected = np.repeat(0.5 * (1 + np.cos(np.pi * np.arange(3) / 3)), 4)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    smooth = dataclasses.replace(recipe, epoch_steps=0)
    assert float(member.scheduled(smooth, 3)) < found[3]
    assert float(member.scheduled(dataclasses.replace(recipe, schedule="constant"), 9)) == 1


def test_images_are_transformed_before_training_and_not_in_each_step(digits: ImageFamily) -> None:
    """Transforming 28x28 images takes several times as long as a step of a small network."""
    blurred = transform_images.tables(
        [Transformation(blur=0.5)] * len(digits.subsets), (8, 8, 1), digits.pixel_range
    )
    network, key = digits.network, jax.random.key(0)
    recipe = Recipe((0, 2, 5), 16, "constant", ("adam",), share_minibatches=False)
    hyper = Hyperparameters(*jnp.float32([0.01, 0.0, 1.0]), jnp.int32(0))

    def train(data: ImageTasks) -> History:
        update = optimizer.of_names(recipe.optimizers)
        start = network.init(key)
        return member.train(network, recipe, update, data, jnp.int32(0), key, start, hyper)

    data = dataclasses.replace(digits.device_data, transformations=blurred)
    program = jax.make_jaxpr(train)(data)
    loop = next(x for x in program.eqns if x.primitive.name == "scan")
    blur = "HIGHEST"  # the precision of its products; the network's have none of their own
    assert blur in str(program) and blur not in str(loop)
