"""Examples drawn on device come from the right pool, have the right labels and no padding."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import family as families
from mole_jax.tasks import pools, sources
from mole_jax.tasks.family import DeviceData, Examples, TaskFamily
from mole_jax.tasks.sources.image_data import checked

PER_CLASS = (40, 57, 23, 90)
CLASSES = jnp.array([3, 0, 2])  # in an order of labels that is not sorted


def labels_of_rows() -> np.ndarray:
    return np.random.default_rng(1).permutation(np.repeat(np.arange(4), PER_CLASS)).astype(np.int32)


@pytest.fixture(scope="module")
def tables() -> dict[str, pools.ClassTable]:
    labels = labels_of_rows()
    empty = np.zeros((len(labels), 1, 1, 1), np.uint8)
    data = checked("", "made-up", empty, labels, np.zeros(len(labels), bool))
    fractions = {"train": 0.5, "support": 0.15, "validation": 0.15, "test": 0.2}
    return pools.split(data, fractions, seed=0)


@pytest.fixture(scope="module")
def data(tables: dict[str, pools.ClassTable]) -> DeviceData:
    """Each image holds its own row number, so examples tell where they are from."""
    inputs = jnp.arange(sum(PER_CLASS), dtype=jnp.float32)[:, None]
    return DeviceData(
        inputs, {n: (jnp.asarray(t.indices), jnp.asarray(t.counts)) for n, t in tables.items()}
    )


def rows(examples: Examples) -> np.ndarray:
    return np.asarray(examples.inputs[:, 0]).astype(int)


def pool_rows(table: pools.ClassTable, source_class: int) -> list[int]:
    return table.indices[source_class, : table.counts[source_class]].tolist()


@pytest.mark.parametrize("name", pools.NAMES)
def test_a_pool_holds_each_of_its_examples_once(
    data: DeviceData, tables: dict[str, pools.ClassTable], name: str
) -> None:
    examples = jax.jit(data.pool, static_argnums=0)(name, CLASSES)
    found, mask = rows(examples), np.asarray(examples.mask)
    np.testing.assert_array_equal(
        labels_of_rows()[found], np.asarray(CLASSES)[np.asarray(examples.labels)]
    )
    expected = [row for c in CLASSES.tolist() for row in pool_rows(tables[name], c)]
    assert found[mask].tolist() == expected
    assert len(set(expected)) == len(expected) == tables[name].counts[np.asarray(CLASSES)].sum()


@pytest.mark.parametrize("name", ["train", "support"])
def test_drawn_minibatches(
    data: DeviceData, tables: dict[str, pools.ClassTable], name: str
) -> None:
    n = 6000
    examples = jax.jit(data.draw, static_argnums=(0, 3))(name, CLASSES, jax.random.key(0), n)
    assert examples.inputs.shape == (n, 1)
    assert examples.mask.all()
    found, labels = rows(examples), np.asarray(examples.labels)
    for label, source_class in enumerate(CLASSES.tolist()):
        allowed = pool_rows(tables[name], source_class)
        counts = np.bincount(found[labels == label], minlength=sum(PER_CLASS))
        assert set(np.flatnonzero(counts)) == set(allowed)  # no row outside, and all are drawn
        # Classes are equally likely, however many examples they have, and so are their examples.
        share = counts.sum() / n
        assert share == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / n))
        mean = counts.sum() / len(allowed)
        chi2 = np.sum((counts[allowed] - mean) ** 2 / mean)
        assert chi2 < len(allowed) + 5 * np.sqrt(2 * len(allowed))


@pytest.mark.parametrize("n", [1, 3, 4, 50])
def test_drawn_per_class(data: DeviceData, tables: dict[str, pools.ClassTable], n: int) -> None:
    table = tables["support"]
    draw = jax.jit(data.draw_per_class, static_argnums=(0, 3))
    seen: set[tuple[int, ...]] = set()
    for seed in range(5):
        examples = draw("support", CLASSES, jax.random.key(seed), n)
        found = rows(examples).reshape(3, -1)
        mask = np.asarray(examples.mask).reshape(3, -1)
        assert found.shape == (3, min(n, table.indices.shape[1]))
        np.testing.assert_array_equal(examples.labels, np.repeat(np.arange(3), found.shape[1]))
        for row, keep, source_class in zip(found, mask, CLASSES.tolist(), strict=True):
            # As many as there are, all different, all of this class and this pool.
            assert keep.sum() == min(n, table.counts[source_class]) == len(set(row[keep]))
            assert set(row[keep]) <= set(pool_rows(table, source_class))
        seen.add(tuple(found[0].tolist()))
    assert len(seen) > 1  # another key, another choice or order


def test_classes_of_uneven_pools_are_not_short_changed(
    data: DeviceData, tables: dict[str, pools.ClassTable]
) -> None:
    """Every example of a class can be drawn first, and padding never is."""
    draw = jax.jit(jax.vmap(lambda key: data.draw_per_class("support", CLASSES, key, 1).inputs))
    found = np.asarray(draw(jax.random.split(jax.random.key(1), 400)))[..., 0].astype(int)
    for column, source_class in zip(found.T, CLASSES.tolist(), strict=True):
        assert set(column) == set(pool_rows(tables["support"], source_class))


def config(**changes: Any) -> dict[str, Any]:
    data = {
        "source": "digits",
        "pools": {"train": 0.5, "support": 0.15, "validation": 0.15, "test": 0.2},
        "max_per_class": {"train": 0, "support": 0, "validation": 0, "test": 0},
        "classes_per_subset": 3,
        "train_subsets": 20,
        "held_out_subsets": 10,
        "support_per_class": 10,
    }
    network = {"name": "mlp", "hidden": (8,), "activation": "relu"}
    return {"seed": 0, "data": {**data, **changes}, "network": network}


@pytest.fixture(scope="module")
def digits() -> TaskFamily:
    return families.build(config())


def test_a_family_fits_together(digits: TaskFamily) -> None:
    assert digits.source == "digits"
    assert digits.image_shape == (8, 8, 1)
    assert (digits.network.n_inputs, digits.network.n_outputs) == (64, 3)
    assert digits.n_classes == 3
    assert digits.classes.shape == (30, 3)
    assert [tuple(row) for row in digits.classes.tolist()] == [s.classes for s in digits.subsets]
    assert digits.indices("train").tolist() == list(range(20))
    assert digits.indices("S1").tolist() == list(range(20, 30))


def test_inputs_are_standardised_by_the_training_pool_alone(digits: TaskFamily) -> None:
    raw = sources.load("digits").images.reshape(1797, 64)
    np.testing.assert_allclose(
        digits.inputs, raw * digits.input_scale + digits.input_shift, rtol=1e-5, atol=1e-6
    )
    table = digits.pools["train"]
    train = digits.inputs[table.indices[table.mask]]
    assert float(train.mean()) == pytest.approx(0, abs=1e-5)
    assert float(train.std()) == pytest.approx(1, abs=1e-5)
    assert digits.inputs.dtype == np.float32


def test_device_data_holds_the_family_s_images(digits: TaskFamily) -> None:
    classes = digits.classes[4]
    examples = digits.device_data.pool("test", jnp.asarray(classes))
    table = digits.pools["test"]
    expected = np.concatenate([pool_rows(table, c) for c in classes])
    np.testing.assert_array_equal(examples.inputs[examples.mask], digits.inputs[expected])
    relabelled = classes[np.asarray(examples.labels[examples.mask])]
    np.testing.assert_array_equal(relabelled, digits.labels[expected])


def test_the_manifest_names_every_split(digits: TaskFamily) -> None:
    manifest = digits.manifest()
    assert sum(pool["n"] for pool in manifest["pools"].values()) == 1797
    assert len({pool["sha256"] for pool in manifest["pools"].values()}) == 4
    train, held_out = (set(manifest["subsets"][split]) for split in ("train", "S1"))
    assert (len(train), len(held_out)) == (20, 10)
    assert not train & held_out
    assert families.build(config()).manifest() == manifest


def test_impossible_families_are_refused() -> None:
    with pytest.raises(UserError, match="support_per_class=100, but a class of digits has only 2"):
        families.build(config(support_per_class=100))
    with pytest.raises(UserError, match="source='minst' is unknown"):
        families.build(config(source="minst"))
    with pytest.raises(UserError, match="seed=-1 must not be negative"):
        families.build({**config(), "seed": -1})
