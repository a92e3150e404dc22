"""Training pairs: start before target in one run, support sets in range, symmetries kept."""

from __future__ import annotations

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.metamodel.process.prompt import CONDITIONS
from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.examples import Examples
from mole_jax.training import pairs as pairs_lib
from mole_jax.training.pairs import PairConfig, Pairs
from tests import tiny

BATCH = 64
PLAIN = {
    "training__permute_labels": 0.0,
    "training__permute_units": False,
    "training__mix_images": False,
}


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    return tiny.made_up(**PLAIN)


def drawn(setting: tiny.Setting, seed: int = 0, batch: int = BATCH, **changes: object) -> Pairs:
    rules = dataclasses.replace(PairConfig.of(setting.config), **changes)
    model, data = setting.model, setting.family.device_data
    draw = jax.jit(
        lambda key: pairs_lib.draw(
            rules,
            model.network,
            setting.zoo,
            data,
            setting.normaliser,
            key,
            batch,
        )
    )
    return draw(jax.random.key(seed))


@pytest.fixture(scope="module")
def plain(setting: tiny.Setting) -> Pairs:
    return drawn(setting)


def places(setting: tiny.Setting, metric: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """The run and snapshot that a metric of the made-up zoo names."""
    table = np.asarray(setting.zoo.metric)
    found = [np.argwhere(table == m) for m in np.asarray(metric)]
    assert all(len(f) == 1 for f in found)
    run, snapshot = np.concatenate(found).T
    return run, snapshot


def test_the_start_comes_before_the_target_in_the_same_run(
    setting: tiny.Setting, plain: Pairs
) -> None:
    run, start = places(setting, plain.prompt.start_metric)
    other, target = places(setting, plain.prompt.target_metric)
    np.testing.assert_array_equal(run, other)
    assert np.all(start < target)
    assert set(run) == set(range(len(setting.zoo.metric)))
    assert set(target) == {1, 2, 3, 4}
    np.testing.assert_array_equal(plain.target, setting.zoo.parameters[run, target])
    np.testing.assert_array_equal(plain.prompt.start, setting.zoo.parameters[run, start])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_share_of_pairs_from_the_first_snapshot(setting: tiny.Setting, share: float) -> None:
    _, start = places(setting, drawn(setting, first_start=share).prompt.start_metric)
    assert set(start) == ({0} if share else {0, 1, 2, 3})


def test_support_sets_have_sizes_in_range_and_come_from_their_pool(
    setting: tiny.Setting, plain: Pairs
) -> None:
    support, family = plain.prompt.support, setting.family
    per_class = np.asarray(
        jnp.sum(jax.nn.one_hot(support.labels, 3) * support.mask[..., None], axis=1)
    )
    assert np.all(per_class == per_class[:, :1])  # the same number of each class
    assert set(per_class[:, 0]) == {2, 3, 4}
    run, _ = places(setting, plain.prompt.start_metric)
    pool = family.pools["support"]
    allowed = set(pool.indices[pool.mask])
    rows = {row.tobytes(): i for i, row in enumerate(family.inputs)}
    for b in range(8):
        chosen = np.asarray(support.mask[b])
        found = [rows[np.asarray(x).tobytes()] for x in support.inputs[b][chosen]]
        assert len(set(found)) == len(found)
        classes = setting.family.classes[int(setting.zoo.task[run[b]])]
        np.testing.assert_array_equal(
            family.labels[found], classes[np.asarray(support.labels[b])[chosen]]
        )
        assert set(found) <= allowed


def test_functions_are_compared_on_images_of_the_training_pool(
    setting: tiny.Setting, plain: Pairs
) -> None:
    family = setting.family
    pool = family.pools["train"]
    rows = {row.tobytes() for row in family.inputs[pool.indices[pool.mask]]}
    assert plain.images.shape == (BATCH, 8, 64)
    assert all(np.asarray(x).tobytes() in rows for x in plain.images[:8].reshape(-1, 64))


def test_mixtures_lie_between_an_image_and_its_neighbour(
    setting: tiny.Setting, plain: Pairs
) -> None:
    """Same key, same images: each mixture is on the line between two of them."""
    mixed = np.asarray(drawn(setting, mix_images=True).images)
    first = np.asarray(plain.images)
    second = np.roll(first, 1, axis=1)
    length = np.sum((first - second) ** 2, axis=-1)
    share = np.sum((mixed - second) * (first - second), axis=-1) / np.maximum(length, 1e-9)
    assert np.all((share >= -1e-5) & (share <= 1 + 1e-5))
    between = share[..., None] * first + (1 - share[..., None]) * second
    np.testing.assert_allclose(between, mixed, atol=1e-4)
    assert 0.2 < share[length > 0].std() < 0.35  # uniform: 0.29


def test_renamed_labels_leave_every_loss_as_it_was(setting: tiny.Setting, plain: Pairs) -> None:
    renamed = drawn(setting, permute_labels=1.0)
    network = setting.model.network

    def loss(flat: jax.Array, support: Examples) -> jax.Array:
        logits = network.apply(network.spec.unflatten(flat), support.inputs)
        return loss_and_accuracy(logits, support.labels, support.mask)[0]

    @jax.jit
    def losses(pairs: Pairs) -> list[jax.Array]:
        start = pairs.prompt.start
        return [jax.vmap(loss)(flat, pairs.prompt.support) for flat in (start, pairs.target)]

    for before, after in zip(losses(plain), losses(renamed), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4)
    assert float(jnp.mean(plain.prompt.support.labels != renamed.prompt.support.labels)) > 0.3
    np.testing.assert_array_equal(plain.prompt.support.inputs, renamed.prompt.support.inputs)


def test_reordered_units_keep_functions_and_the_way_from_start_to_target(
    setting: tiny.Setting, plain: Pairs
) -> None:
    permuted = drawn(setting, permute_units=True)
    network = setting.model.network
    assert not np.array_equal(permuted.target, plain.target)
    outputs = jax.jit(
        lambda flat: jax.vmap(network.apply)(network.spec.unflatten(flat), plain.images)
    )
    np.testing.assert_allclose(outputs(permuted.target), outputs(plain.target), atol=1e-4)
    moved = [
        np.linalg.norm(pairs.target - pairs.prompt.start, axis=1) for pairs in (permuted, plain)
    ]
    np.testing.assert_allclose(*moved, rtol=1e-4)  # start and target in the same order


def test_fresh_starts_take_the_place_of_initial_networks_and_of_no_others(
    setting: tiny.Setting,
) -> None:
    """Metrics of the made-up zoo name its snapshots; those of fresh networks are losses."""
    own, fresh = drawn(setting), drawn(setting, fresh_starts=True)
    np.testing.assert_array_equal(own.target, fresh.target)
    metric = np.asarray(own.prompt.start_metric)
    first = np.isin(metric, np.asarray(setting.zoo.metric)[:, 0])
    assert 0 < first.sum() < BATCH
    before, after = np.asarray(own.prompt.start), np.asarray(fresh.prompt.start)
    np.testing.assert_array_equal(before[~first], after[~first])
    np.testing.assert_array_equal(metric[~first], fresh.prompt.start_metric[~first])
    assert len(np.unique(after[first], axis=0)) == first.sum()
    raw = setting.normaliser.denormalise(after[first])
    by_path = {f.path: np.asarray(raw)[:, f.slice] for f in setting.model.network.spec.fields}
    np.testing.assert_allclose(by_path["output/bias"], 0, atol=1e-5)  # as at every beginning
    losses = np.asarray(fresh.prompt.start_metric)[first]
    assert np.all((losses > 0.5) & (losses < 10)) and not np.isin(losses, metric).any()


def test_fresh_policies_come_with_the_loss_that_they_have_in_their_task() -> None:
    """Else the model would see other pairs of start and metric than those it is prompted with."""
    setting = tiny.made_up(
        data__source="env:cartpole",
        data__train_subsets=4,
        network__name="gaussian_policy",
        metamodel__pairwise=False,
        population__ppo__evaluation_episodes=3,
        population__shared_start=True,
        **PLAIN,
    )
    tasks = setting.zoo._replace(task=jnp.zeros_like(setting.zoo.task))
    setting = dataclasses.replace(setting, zoo=tasks)
    pairs = drawn(setting, batch=8, first_start=1.0)
    starts = setting.normaliser.denormalise(pairs.prompt.start)
    network, data = setting.family.network, setting.family.device_data
    losses = [
        data.measure(network, network.spec.unflatten(flat), "validation", jnp.array(0))[0]
        for flat in starts
    ]
    assert len(np.unique(losses)) > 1
    np.testing.assert_allclose(pairs.prompt.start_metric, losses, atol=5e-3)  # a step of 3 x 500


def test_conditions_are_dropped_at_their_rates(setting: tiny.Setting) -> None:
    rates = {"support": 0.5, "target_metric": 0.2, "start": 0.0}
    use = drawn(setting, batch=1500, drop=tuple(rates.items()), function_images=1).prompt.use
    for name, rate in rates.items():
        assert abs(1 - float(jnp.mean(use[name])) - rate) < 0.05
    assert bool(use["start"].all())
    both = float(jnp.mean(~use["support"] & ~use["target_metric"]))
    assert abs(both - 0.1) < 0.04  # independently


def test_a_draw_is_a_function_of_its_key(setting: tiny.Setting, plain: Pairs) -> None:
    chex.assert_trees_all_equal(drawn(setting), plain, strict=True)
    assert not np.array_equal(drawn(setting, seed=1).prompt.start_metric, plain.prompt.start_metric)


@pytest.mark.parametrize(
    "change",
    [
        {"training__support_min_per_class": 0},
        {"training__support_min_per_class": 5},
        {"training__drop": {"support": 1.0, "target_metric": 0.1, "start": 0.1}},
        {"training__first_start": 1.5},
        {"training__function_images": 0},
        {"training__permute_labels": -0.1},
        {"training__permute_units": True, "population__shared_start": True},
    ],
)
def test_impossible_rules_are_refused(change: dict) -> None:
    with pytest.raises(UserError, match=r"training"):
        PairConfig.of(tiny.tiny_config(**change))


def test_every_condition_has_a_rate() -> None:
    assert tuple(name for name, _ in PairConfig.of(tiny.tiny_config()).drop) == CONDITIONS
