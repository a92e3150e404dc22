"""Examples drawn on device come from the right pool, have the right labels and no padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import family as families
from mole_jax.tasks import pools, sources
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.images import ImageFamily, ImageTasks
from mole_jax.tasks.sources.image_data import checked
from tests import tiny

PER_CLASS = (40, 57, 23, 90)
CLASSES = jnp.array([3, 0, 2])  # in an order of labels that is not sorted
TASK = jnp.int32(1)  # of these classes


def labels_of_rows() -> np.ndarray:
    return np.random.default_rng(1).permutation(np.repeat(np.arange(4), PER_CLASS)).astype(np.int32)


@pytest.fixture(scope="module")
def tables() -> dict[str, pools.ClassTable]:
    labels = labels_of_rows()
    empty = np.zeros((len(labels), 1, 1, 1), np.uint8)
    data = checked("", "made-up", empty, labels, np.zeros(len(labels), bool))
    fractions = {"train": 0.5, "support": 0.15, "validation": 0.15, "test": 0.2}
    return pools.assign(data, fractions, seed=0)


@pytest.fixture(scope="module")
def data(tables: dict[str, pools.ClassTable]) -> ImageTasks:
    """Each image holds its own row number, so examples tell where they are from."""
    return ImageTasks(
        pixels=jnp.arange(sum(PER_CLASS), dtype=jnp.float32)[:, None],
        scale=jnp.float32(1),
        shift=jnp.float32(0),
        classes=jnp.stack([jnp.array([0, 1, 2]), CLASSES]),
        tables={n: (jnp.asarray(t.indices), jnp.asarray(t.counts)) for n, t in tables.items()},
        limits=None,
        firsts=None,
        image_shape=(1, 1, 1),
    )


def rows(examples: Examples) -> np.ndarray:
    return np.asarray(examples.inputs[:, 0]).astype(int)


def pool_rows(table: pools.ClassTable, source_class: int) -> list[int]:
    return table.indices[source_class, : table.counts[source_class]].tolist()


@pytest.mark.parametrize("name", pools.NAMES)
def test_a_pool_holds_each_of_its_examples_once(
    data: ImageTasks, tables: dict[str, pools.ClassTable], name: str
) -> None:
    examples = jax.jit(data.pool, static_argnums=0)(name, TASK)
    found, mask = rows(examples), np.asarray(examples.mask)
    np.testing.assert_array_equal(
        labels_of_rows()[found], np.asarray(CLASSES)[np.asarray(examples.labels)]
    )
    expected = [row for c in CLASSES.tolist() for row in pool_rows(tables[name], c)]
    assert found[mask].tolist() == expected
    assert len(set(expected)) == len(expected) == tables[name].counts[np.asarray(CLASSES)].sum()


@pytest.mark.parametrize("name", ["train", "support"])
def test_drawn_minibatches(
    data: ImageTasks, tables: dict[str, pools.ClassTable], name: str
) -> None:
    n = 6000
    examples = jax.jit(data.draw, static_argnums=(0, 3))(name, TASK, jax.random.key(0), n)
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
def test_drawn_per_class(data: ImageTasks, tables: dict[str, pools.ClassTable], n: int) -> None:
    table = tables["support"]
    draw = jax.jit(data.support, static_argnums=2)
    seen: set[tuple[int, ...]] = set()
    for seed in range(5):
        examples = draw(TASK, jax.random.key(seed), n)
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
    data: ImageTasks, tables: dict[str, pools.ClassTable]
) -> None:
    """Every example of a class can be drawn first, and padding never is."""
    draw = jax.jit(jax.vmap(lambda key: data.support(TASK, key, 1).inputs))
    found = np.asarray(draw(jax.random.split(jax.random.key(1), 400)))[..., 0].astype(int)
    for column, source_class in zip(found.T, CLASSES.tolist(), strict=True):
        assert set(column) == set(pool_rows(tables["support"], source_class))


def config(**changes: Any) -> dict[str, Any]:
    data = tiny.data_config(
        **{"classes_per_subset": 3, "train_subsets": 20, "held_out_subsets": 10, **changes}
    )
    network = {"name": "mlp", "hidden": (8,), "activation": "relu"}
    return {"seed": 0, "data": data, "network": network}


@pytest.fixture(scope="module")
def digits() -> ImageFamily:
    return families.build(config())


def test_a_family_fits_together(digits: ImageFamily) -> None:
    assert digits.source == "digits"
    assert digits.images.shape[1:] == (8, 8, 1)
    assert (digits.network.n_inputs, digits.network.n_outputs) == (64, 3)
    assert digits.n_classes == 3
    assert digits.classes.shape == (30, 3)
    assert [tuple(row) for row in digits.classes.tolist()] == [s.classes for s in digits.subsets]
    assert digits.indices("train").tolist() == list(range(20))
    assert digits.indices("S1").tolist() == list(range(20, 30))


def test_inputs_are_standardised_by_the_training_pool_alone(digits: ImageFamily) -> None:
    raw = sources.load("digits").images.reshape(1797, 64)
    np.testing.assert_allclose(
        digits.inputs, raw * digits.scale + digits.shift, rtol=1e-5, atol=1e-6
    )
    table = digits.pools["train"]
    train = digits.inputs[table.indices[table.mask]]
    assert float(train.mean()) == pytest.approx(0, abs=1e-5)
    assert float(train.std()) == pytest.approx(1, abs=1e-5)
    assert digits.inputs.dtype == np.float32


def test_device_data_holds_the_family_s_images(digits: ImageFamily) -> None:
    classes = digits.classes[4]
    examples = digits.device_data.pool("test", jnp.int32(4))
    table = digits.pools["test"]
    expected = np.concatenate([pool_rows(table, c) for c in classes])
    np.testing.assert_array_equal(examples.inputs[examples.mask], digits.inputs[expected])
    relabelled = classes[np.asarray(examples.labels[examples.mask])]
    np.testing.assert_array_equal(relabelled, digits.labels[expected])


def test_the_manifest_names_every_split(digits: ImageFamily) -> None:
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
    with pytest.raises(UserError, match="seed=-1 must be a whole number"):
        families.build({**config(), "seed": -1})


def of_pixels(path: Path, image: np.ndarray, **changes: Any) -> ImageFamily:
    np.savez(path / "mine.npz", image=image, label=np.arange(len(image)) % 3)
    changes = {"source": f"npz:{path / 'mine.npz'}", "support_per_class": 2} | changes
    return families.build(config(train_subsets=1, held_out_subsets=0, **changes))


@pytest.mark.parametrize(("dtype", "value"), [("u1", 0), ("u1", 255), ("f4", 0.1), ("f8", -3.5)])
@pytest.mark.parametrize("given", [{}, {"pixel_mean": (0.5,), "pixel_std": (0.5,)}])
def test_images_that_are_all_alike_are_refused(
    tmp_path: Path, dtype: str, value: float, given: dict[str, Any]
) -> None:
    image = np.full((90, 4, 4), value, dtype)
    with pytest.raises(UserError, match=f"all training pixels are {value:g}, so there is nothing"):
        of_pixels(tmp_path, image, **given)
    image[:, 0] = 7
    with pytest.raises(UserError, match="all training images are the same, so there is nothing"):
        of_pixels(tmp_path, image, **given)
    image[::2, 0] = 8
    assert np.isfinite(of_pixels(tmp_path, image, **given).inputs).all()


@pytest.mark.parametrize(
    ("largest", "given"),
    [
        (1e-42, {}),  # one over their deviation is beyond float32
        (3e38, {"pixel_mean": (0.0,), "pixel_std": (0.5,)}),
        (1.0, {"pixel_mean": (0.0,), "pixel_std": (1e-45,)}),
        (1.0, {"pixel_mean": (1e300,), "pixel_std": (1.0,)}),
        (1.0, {"pixel_mean": (0.0, 0.0, 0.0), "pixel_std": (1.0, 1.0, 1e-300)}),
    ],
)
def test_pixels_that_standardising_makes_infinite_are_refused(
    tmp_path: Path, largest: float, given: dict[str, Any]
) -> None:
    image = np.linspace(0, largest, 90 * 4 * 4 * 3).reshape(90, 4, 4, 3)
    with pytest.raises(UserError, match="infinite in float32 once they are standardised"):
        of_pixels(tmp_path, image, **given)


def test_a_limited_subset_has_so_many_training_examples_and_always_the_same() -> None:
    family = families.build(config(examples_per_class=(12, 12), imbalance=4.0))
    everything = families.build(config())
    data, whole = family.device_data, everything.device_data
    assert {max(s.counts) for s in family.subsets} == {12}
    assert {min(s.counts) for s in family.subsets} == {3}
    for task in (0, 17, 25):
        counts = family.subsets[task].counts
        pool = data.pool("train", jnp.int32(task))
        kept = np.asarray(pool.mask)
        found = np.bincount(np.asarray(pool.labels)[kept], minlength=3)
        assert tuple(found.tolist()) == counts
        allowed = {row.tobytes() for row in np.asarray(pool.inputs)[kept]}
        assert len(allowed) > 0.9 * sum(counts)  # different images, but for twins among them
        drawn = data.draw("train", jnp.int32(task), jax.random.key(0), 2000)
        assert {row.tobytes() for row in np.asarray(drawn.inputs)} == allowed
        # Rare classes are as rare in minibatches as they are in the subset.
        share = np.bincount(np.asarray(drawn.labels), minlength=3) / 2000
        np.testing.assert_allclose(share, np.array(counts) / sum(counts), atol=0.05)
        support = data.support(jnp.int32(task), jax.random.key(0), 10)
        shown = np.bincount(np.asarray(support.labels)[np.asarray(support.mask)], minlength=3)
        assert shown.tolist() == [min(10, n) for n in counts]
        for name in ("validation", "test"):
            np.testing.assert_array_equal(
                data.pool(name, jnp.int32(task)).inputs, whole.pool(name, jnp.int32(task)).inputs
            )
    first, second = (np.asarray(data.pool("train", jnp.int32(t)).inputs) for t in (0, 0))
    np.testing.assert_array_equal(first, second)


def test_training_images_are_augmented_and_no_others() -> None:
    plain = families.build(config()).device_data
    moved = families.build(config(augment={"flip": False, "crop": 2})).device_data
    task, key = jnp.int32(3), jax.random.key(0)
    for name in ("support", "validation", "test"):
        np.testing.assert_array_equal(
            plain.draw(name, task, key, 50).inputs, moved.draw(name, task, key, 50).inputs
        )
        np.testing.assert_array_equal(plain.pool(name, task).inputs, moved.pool(name, task).inputs)
    same = plain.draw("train", task, key, 50).inputs == moved.draw("train", task, key, 50).inputs
    assert 0 < np.asarray(same).all(1).mean() < 0.5  # a crop may also stay where it is


def test_images_stay_bytes_on_device(digits: ImageFamily) -> None:
    assert digits.device_data.pixels.dtype == jnp.uint8
    assert digits.device_data.pool("test", jnp.int32(0)).inputs.dtype == jnp.float32


def test_classes_never_trained_on_do_not_set_the_scale() -> None:
    family = families.build(config(held_out_classes=3, unseen_class_subsets=1))
    seen = {c for s in family.subsets if s.split == "train" for c in s.classes}
    assert len(seen) == 7
    table = family.pools["train"]
    rows = np.concatenate([pool_rows(table, c) for c in sorted(seen)])
    assert float(family.inputs[rows].mean()) == pytest.approx(0, abs=1e-5)
    assert float(family.inputs[rows].std()) == pytest.approx(1, abs=1e-5)


def test_given_means_and_deviations_of_pixels_are_taken_as_they_are(tmp_path: Path) -> None:
    one = families.build(config(pixel_mean=(4.0,), pixel_std=(2.0,)))
    raw = one.images.reshape(len(one.images), -1)
    np.testing.assert_allclose(one.inputs, (raw - 4.0) / 2, rtol=1e-6)
    images = np.random.default_rng(0).integers(0, 256, (120, 4, 4, 3)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", image=images, label=np.arange(120) % 3)
    rules = {"source": f"npz:{tmp_path / 'x.npz'}", "train_subsets": 1, "held_out_subsets": 0}
    rules |= {"pixel_mean": (125.3, 123.0, 113.9), "pixel_std": (63.0, 62.1, 66.7)}
    found = families.build(config(**rules, support_per_class=1))
    expected = (images - np.array(rules["pixel_mean"])) / np.array(rules["pixel_std"])
    np.testing.assert_allclose(found.inputs, expected.reshape(120, -1), rtol=1e-4, atol=1e-5)
    drawn = found.device_data.draw("train", jnp.int32(0), jax.random.key(0), 4)
    rows = np.abs(np.asarray(drawn.inputs)[:, None] - found.inputs[None]).max(-1).min(1)
    assert rows.max() < 1e-5
    with pytest.raises(UserError, match="must have one number each"):
        families.build(config(pixel_mean=(1.0, 2.0), pixel_std=(1.0, 2.0)))
