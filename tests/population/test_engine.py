"""A population is its members, whichever devices they are on and whoever is beside them."""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core import rng
from mole_jax.population import engine, member, optimizer
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import History, Recipe
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.images import ImageFamily
from mole_jax.tasks.transformation import Transformation
from tests import tiny

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
    "reduce-scatter",
)


def assert_close(a: History, b: History) -> None:
    chex.assert_trees_all_close(a, b, rtol=1e-5, atol=1e-5)


@functools.partial(jax.jit, static_argnums=(0, 1))
def solo(
    network: Any,
    recipe: Recipe,
    data: Any,
    task: jax.Array,
    key: jax.Array,
    start: jax.Array,
    hyper: Hyperparameters,
) -> History:
    """One member trained by itself."""
    params = network.spec.unflatten(start)
    update = optimizer.of_names(recipe.optimizers, recipe.coupled_decay)
    return member.train(network, recipe, update, data, task, key, params, hyper)


def solo_of(population: Any, group: int, one: int, key: jax.Array) -> History:
    return solo(
        population.family.network,
        population.recipe,
        population.family.device_data,
        population.tasks[group],
        key,
        population.starts[group, one],
        jax.tree.map(lambda x: x[group, one], population.hyper),
    )


def own_minibatches(population: Any) -> Any:
    recipe = dataclasses.replace(population.recipe, share_minibatches=False)
    return population._replace(recipe=recipe)


def twins(population: Any) -> Any:
    """Both members of every subset have the start and the hyperparameters of the first."""

    def first(x: jax.Array) -> jax.Array:
        return jnp.repeat(x[:, :1], 2, axis=1)

    hyper = jax.tree.map(first, population.hyper)
    return population._replace(starts=first(population.starts), hyper=hyper)


def test_shapes(population: Any, history: History) -> None:
    n_snapshots = len(population.recipe.snapshot_steps)
    assert history.parameters.shape == (3, 2, n_snapshots, population.family.network.spec.size)
    assert {v.shape for v in history.metrics.values()} == {(3, 2, n_snapshots)}


def test_a_solo_member_is_the_member_of_the_population(population: Any, history: History) -> None:
    """Shared minibatches: members draw by the key of their subset."""
    for group, one in ((0, 0), (0, 1), (2, 1)):
        alone = solo_of(population, group, one, population.batch_keys[group])
        assert_close(alone, jax.tree.map(lambda x, g=group, m=one: x[g, m], history))


def test_a_solo_member_is_the_member_with_its_own_minibatches(
    population: Any, make_mesh: Any
) -> None:
    history = own_minibatches(population).train(make_mesh(1))
    for group, one in ((0, 1), (2, 0)):
        key = jax.random.fold_in(population.batch_keys[group], one)
        alone = solo_of(population, group, one, key)
        assert_close(alone, jax.tree.map(lambda x, g=group, m=one: x[g, m], history))


def test_a_solo_member_of_a_transformed_task_is_the_member_of_the_population(
    population: Any, history: History, make_mesh: Any
) -> None:
    changes = [
        Transformation(stroke=0.4, blur=0.3, inverted=True, symmetry=5),
        Transformation(permutation=3, linear=2, middle=0.3, contrast=0.8, level=1.0),
    ]
    subsets = [
        dataclasses.replace(s, transformation=t)
        for s, t in zip(population.family.subsets, changes, strict=False)
    ]
    rest = population.family.subsets[len(changes) :]
    family = dataclasses.replace(population.family, subsets=(*subsets, *rest))
    changed = population._replace(family=family)
    with tiny.quick_compilation():
        found = changed.train(make_mesh(1))
        alone = [solo_of(changed, i, 1, population.batch_keys[i]) for i in range(2)]
    for i in range(2):
        assert_close(alone[i], jax.tree.map(lambda x, i=i: x[i, 1], found))
        assert np.abs(found.parameters[i, 1] - history.parameters[i, 1]).max() > 0.01
    # The third task has none, and trains as it did.
    assert_close(*(jax.tree.map(lambda x: x[2], each) for each in (found, history)))


def test_twins_stay_alike_only_if_they_share_minibatches(population: Any, make_mesh: Any) -> None:
    pair = twins(population)
    shared = pair.train(make_mesh(1)).parameters
    np.testing.assert_array_equal(shared[:, 0], shared[:, 1])
    own = own_minibatches(pair).train(make_mesh(1)).parameters
    np.testing.assert_array_equal(own[:, 0, 0], own[:, 1, 0])
    assert np.all(np.abs(own[:, 0, 1:] - own[:, 1, 1:]).max(-1) > 1e-3)


def test_neighbours_do_not_matter(population: Any, history: History, make_mesh: Any) -> None:
    """A member that diverges leaves the others exactly as they were."""
    rates = population.hyper.learning_rate.at[0, 1].set(1e38)
    hyper = population.hyper._replace(learning_rate=rates)
    disturbed = jax.tree.map(np.asarray, population._replace(hyper=hyper).train(make_mesh(1)))
    assert not np.isfinite(disturbed.parameters[0, 1, -1]).all()
    others = np.array([[True, False], [True, True], [True, True]])
    chex.assert_trees_all_equal(
        *(jax.tree.map(lambda x: x[others], each) for each in (disturbed, history))
    )


def test_devices_do_not_matter_and_do_not_talk(
    population: Any,
    history: History,
    make_mesh: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three subsets on eight devices, hence with padding, which does not come back."""
    compiled = []
    jitted = engine._train

    def spy(network: Any, recipe: Any, at_once: int, mesh: Any, *args: Any) -> History:
        compiled.append(jitted.lower(network, recipe, at_once, mesh, *args).compile())
        result: History = compiled[0](*args)
        # The work is split: every device holds its share of the subsets, and no more.
        held = {shard.data.shape[0] for shard in result.parameters.addressable_shards}
        assert len(result.parameters.sharding.device_set) == 8
        assert held == {1}
        return result

    monkeypatch.setattr(engine, "_train", spy)
    assert_close(population.train(make_mesh(8)), history)
    (program,) = compiled
    text = program.as_text()
    assert "while" in text  # it is the program that trains
    assert [name for name in COLLECTIVES if name in text] == []


@pytest.mark.parametrize("at_once", [1, 3, 4])
@pytest.mark.parametrize("shared", [True, False])
def test_how_many_train_at_once_does_not_matter(
    population: Any, make_mesh: Any, at_once: int, shared: bool
) -> None:
    """Three subsets of two members, in blocks that hold one member, one subset and two subsets."""
    chosen = population if shared else own_minibatches(population)
    everyone = chosen.train(make_mesh(1))
    assert_close(chosen.train(make_mesh(1), at_once=at_once), everyone)
    assert_close(chosen.train(make_mesh(2), at_once=at_once), everyone)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("groups", [3, 1])
def test_lanes_do_not_matter(
    population: Any, make_mesh: Any, groups: int, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three subsets in two threads, hence with padding; the two members of one subset in two."""
    chosen = population if shared else own_minibatches(population)
    some: Any = jax.tree.map(lambda x: x[:groups], chosen._replace(family=None, recipe=None))
    some = some._replace(family=chosen.family, recipe=chosen.recipe)
    alone = some.train(make_mesh(1))
    monkeypatch.setattr(engine, "cpu_threads", lambda mesh: 2)
    split = some.train(make_mesh(1), at_once=3)
    assert_close(split, alone)
    assert split.parameters.shape == alone.parameters.shape


def test_devices_divide_the_members_of_few_subsets(
    population: Any, make_mesh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One subset of three members on two devices, hence with a member too many."""
    chosen = own_minibatches(population)
    some: Any = jax.tree.map(lambda x: x[:1], chosen._replace(family=None, recipe=None))
    three = jnp.array([0, 1, 1])
    some = some._replace(
        family=chosen.family,
        recipe=chosen.recipe,
        starts=some.starts[:, three],
        hyper=jax.tree.map(lambda x: x[:, three], some.hyper),
    )
    alone = some.train(make_mesh(1))
    jitted, seen = engine._train, []

    def spy(*args: Any) -> Any:
        seen.append(args[-1].start.shape[:2])
        return jitted(*args)

    monkeypatch.setattr(engine, "_train", spy)
    assert_close(some.train(make_mesh(2)), alone)
    assert seen == [(2, 2)]


def test_a_cpu_has_a_lane_for_each_core_and_several_devices_share_them(make_mesh: Any) -> None:
    cores = len(os.sched_getaffinity(0))
    assert engine.cpu_threads(make_mesh(1)) == max(cores // jax.device_count(), 1)
    assert engine.cpu_threads(make_mesh(2)) == 1


def test_fixed_examples_are_all_that_is_trained_on(population: Any, make_mesh: Any) -> None:
    """Masked rows are never drawn: they are NaN here. The rest all have label 2."""
    n = 12
    mask = jnp.arange(n) % 3 > 0
    inputs = jnp.where(mask[:, None], population.family.inputs[:n], jnp.nan)
    dataset = Examples(inputs, jnp.where(mask, 2, 0), mask)
    dataset = jax.tree.map(lambda x: jnp.stack([x] * 3), dataset)
    history = population.train(make_mesh(1), dataset=dataset)
    assert np.isfinite(history.parameters).all()
    one = population.family.network.spec.unflatten(history.parameters[0, 0, -1])
    logits = population.family.network.apply(one, population.family.inputs[:n])
    assert np.all(np.argmax(logits, -1) == 2)


def test_starts_depend_on_key_and_member_alone(digits: ImageFamily) -> None:
    root = rng.key(3)

    def start(members: Any, scale: float = 1.0) -> np.ndarray:
        members = jnp.asarray(members)
        ones = jnp.ones(members.shape)
        hyper = Hyperparameters(ones, ones, scale * ones, ones.astype(jnp.int32))
        return np.asarray(engine.initial(digits.network, root, members, hyper))

    size = digits.network.spec.size
    square = start([[4, 9], [7, 2]])
    assert square.shape == (2, 2, size)
    other = start([[2, 9], [5, 4]])
    np.testing.assert_array_equal(other[[1, 0, 0], [1, 1, 0]], square[[0, 0, 1], [0, 1, 1]])
    assert len(np.unique(square.reshape(4, size), axis=0)) == 4
    np.testing.assert_array_equal(start([[4, 9], [7, 2]], 0.5), 0.5 * square)
    expected = jax.jit(digits.network.init)(rng.at(root, "init", 9))
    np.testing.assert_allclose(digits.network.spec.flatten(expected), square[0, 1], rtol=1e-6)
