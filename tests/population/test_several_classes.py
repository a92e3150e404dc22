"""In a family with tasks of several sizes each trains as if its network had no other outputs."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.population import subset_runs
from mole_jax.population.member import History
from mole_jax.tasks import family as families
from mole_jax.tasks import images, networks
from mole_jax.tasks.images import ImageFamily
from mole_jax.tasks.networks import fewer_outputs
from tests import tiny

CONFIG = tiny.tiny_config(**tiny.SEVERAL_CLASSES, population__members=2)


@pytest.fixture(scope="module")
def family() -> ImageFamily:
    family = families.build(CONFIG)
    assert isinstance(family, ImageFamily)
    return family


def trained(family: ImageFamily, starts: jax.Array, task: int) -> History:
    """Train from starts [M, D] on a task, as the zoo does: [1, M, S, ...]."""
    from mole_jax.population import engine, recipes
    from mole_jax.population.hyperparameters import Hyperparameters

    each = jnp.ones((1, len(starts)))
    hyper = Hyperparameters(0.01 * each, 0.1 * each, each, jnp.array([[0, 1]], jnp.int32))
    recipe = recipes.of(CONFIG["population"], family.network)
    recipe = dataclasses.replace(recipe, optimizers=("adam", "sgd"))
    return engine.train(
        family.network, recipe, family.device_data, jnp.array([task]),
        jax.random.split(jax.random.key(1), 1), starts[None], hyper, mesh=tiny.mesh_of(1),
    )  # fmt: skip


@pytest.mark.parametrize("k", [2, 3])
def test_training_is_that_of_the_network_that_lacks_the_other_outputs(
    family: ImageFamily, k: int
) -> None:
    task = int(np.flatnonzero(family.classes_of_tasks == k)[0])
    full = family.network
    small = networks.build(CONFIG.network, full.input_shape, k)
    # The same task in an experiment whose tasks all have k classes.
    alone = dataclasses.replace(family, network=small, subsets=(family.subsets[task],))
    assert alone.device_data.n_classes is None
    starts = jax.vmap(lambda key: full.spec.flatten(full.init(key)))(
        jax.random.split(jax.random.key(0), 2)
    )
    starts = fewer_outputs.emptied(full, starts, jnp.array([k, k]))
    found = trained(family, starts, task)
    wanted = trained(alone, fewer_outputs.narrowed(full, starts, small), 0)
    wide = fewer_outputs.widened(full, wanted.parameters, small)
    np.testing.assert_allclose(found.parameters, wide, rtol=1e-4, atol=1e-5)
    for name, values in wanted.metrics.items():
        np.testing.assert_allclose(found.metrics[name], values, rtol=1e-4, err_msg=name)


def test_parameters_of_absent_classes_stay_zero(family: ImageFamily) -> None:
    tasks = np.array([int(np.flatnonzero(family.classes_of_tasks == k)[0]) for k in (2, 3, 4)])
    _, history = subset_runs.train_subsets(CONFIG, family, tasks, tiny.mesh_of(1))
    for own, k in zip(np.asarray(history.parameters), (2, 3, 4), strict=True):
        absent = family.network.output_of >= k
        assert not own[..., absent].any()
        assert (own[..., ~absent] != 0).mean() > 0.9


def test_pools_and_draws_have_no_other_classes(family: ImageFamily) -> None:
    data = family.device_data
    for k in (2, 3, 4):
        task = int(np.flatnonzero(family.classes_of_tasks == k)[0])
        drawn = data.draw("train", jnp.int32(task), jax.random.key(0), 200)
        assert set(np.asarray(drawn.labels).tolist()) == set(range(k))
        for examples in (
            data.pool("test", jnp.int32(task)),
            data.support(jnp.int32(task), jax.random.key(0), 4),
        ):
            labels, mask = np.asarray(examples.labels), np.asarray(examples.mask)
            assert set(labels[mask].tolist()) == set(range(k))
            assert int(examples.n_classes) == k
        assert np.asarray(data.support(jnp.int32(task), jax.random.key(0), 4).mask).sum() == 4 * k


def test_limits_of_examples_are_those_of_the_classes_that_are_there() -> None:
    changes = {"data__examples_per_class": (5, 9), "data__imbalance": 2.0}
    family = images.build(tiny.tiny_config(**tiny.SEVERAL_CLASSES, **changes))
    for task, subset in enumerate(family.subsets):
        pool = family.device_data.pool("train", jnp.int32(task))
        labels = np.asarray(pool.labels)[np.asarray(pool.mask)]
        assert np.bincount(labels).tolist() == list(subset.counts)
        drawn = family.device_data.draw("train", jnp.int32(task), jax.random.key(0), 50)
        assert int(drawn.labels.max()) < len(subset.classes)
        assert np.isfinite(np.asarray(drawn.inputs)).all()
