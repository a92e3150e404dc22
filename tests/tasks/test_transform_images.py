"""A task's images are transformed alike in every pool, and others not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.tasks import family as families
from mole_jax.tasks import transform_images
from mole_jax.tasks.images import ImageFamily, ImageTasks
from mole_jax.tasks.transform_images import Transformations
from mole_jax.tasks.transformation import BANK, KINDS, Transformation
from tests import tiny

SHAPE = (8, 8, 1)
ALL = {**tiny.data_config()["transform"], **dict.fromkeys(KINDS, 0.5)}


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


def family(**changes: Any) -> ImageFamily:
    data = tiny.data_config(
        **{"classes_per_subset": 3, "train_subsets": 20, "held_out_subsets": 4, **changes}
    )
    network = {"name": "mlp", "hidden": (8,), "activation": "relu"}
    return families.build({"seed": 0, "data": data, "network": network})


@pytest.fixture(scope="module")
def plain() -> ImageFamily:
    return family()


@pytest.fixture(scope="module")
def changed() -> ImageFamily:
    return family(transform=ALL)


def transformed(
    images: Any, of: Transformation, shape: tuple[int, int, int] = SHAPE, largest: float = 1.0
) -> np.ndarray:
    """Images [n, F] that are not standardised, as the second task of two has them."""
    tables = transform_images.tables([None, of], shape, (0.0, largest))
    assert tables is not None
    images = jnp.asarray(images, jnp.float32)
    unchanged = transform_images.change_brightness(tables, jnp.int32(0), images, shape)
    unchanged = transform_images.move_and_mix(tables, jnp.int32(0), unchanged)
    np.testing.assert_array_equal(unchanged, images)
    found = transform_images.change_brightness(tables, jnp.int32(1), images, shape)
    return np.asarray(transform_images.move_and_mix(tables, jnp.int32(1), found))


def random_images(n: int = 5, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).random((n, int(np.prod(shape)))).astype(np.float32)


def test_no_transformation_costs_nothing(plain: ImageFamily) -> None:
    data = plain.device_data
    assert data.transformations is None
    assert transform_images.tables([None, Transformation()], SHAPE, (0.0, 1.0)) is None
    # What no task has is left out of the program.
    only = transform_images.tables([None, Transformation(symmetry=3)], SHAPE, (0.0, 1.0))
    assert only is not None and only.tone is None and only.linear is None


@jax.jit
def shown(data: ImageTasks, task: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
    """All that comes of a task's images."""
    return {
        **{name: data.pool(name, task).inputs for name in ("validation", "test")},
        "train": data.draw("train", task, key, 16).inputs,
        "support": data.support(task, key, 3).inputs,
        "inputs": data.inputs(task, key, 7),
    }


@jax.jit
def first_transformed(data: ImageTasks, tables: Transformations, task: jax.Array) -> ImageTasks:
    """The source with the transformation of one task."""
    pixels = transform_images.change_brightness(tables, task, data.pixels.astype(float), SHAPE)
    inputs = transform_images.move_and_mix(tables, task, pixels * data.scale + data.shift)
    return dataclasses.replace(data, pixels=inputs, scale=jnp.float32(1), shift=jnp.float32(0))


def test_every_pool_and_draw_has_the_task_s_transformation(
    plain: ImageFamily, changed: ImageFamily
) -> None:
    """As if the source's images had been transformed first."""
    before, after, key = plain.device_data, changed.device_data, jax.random.key(0)
    assert after.transformations is not None
    for i in (*range(6), 20, 23):
        task = jnp.int32(i)
        found = shown(after, task, key)
        expected = shown(first_transformed(before, after.transformations, task), task, key)
        chex.assert_trees_all_close(found, expected, atol=1e-5)
        untouched = shown(before, task, key)
        if changed.subsets[i].transformation is None:
            chex.assert_trees_all_equal(found, untouched)
        else:
            assert all(np.abs(found[name] - untouched[name]).max() > 0.1 for name in found)
    assert changed.subsets[20].transformation is changed.subsets[23].transformation is None


def test_each_image_is_augmented_before_its_task_s_transformation() -> None:
    augment = {"flip": False, "crop": 2}
    before, after = family(augment=augment), family(augment=augment, transform=ALL)
    i = next(i for i, s in enumerate(after.subsets) if s.transformation)
    tables, task, key = after.device_data.transformations, jnp.int32(i), jax.random.key(0)
    assert tables is not None
    data = before.device_data
    inputs = data.draw("train", task, key, 16).inputs
    pixels = transform_images.change_brightness(
        tables, task, (inputs - data.shift) / data.scale, SHAPE
    )
    expected = transform_images.move_and_mix(tables, task, pixels * data.scale + data.shift)
    found = after.device_data.draw("train", task, key, 16).inputs
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("sizes", [{}, {"fewest_classes": 2}, {"examples_per_class": (4, 30)}])
def test_transforming_once_changes_no_example(sizes: dict[str, Any]) -> None:
    """Tasks of fewer classes, and with fewer examples of a class, too."""
    data, key = family(transform=ALL, **sizes).device_data, jax.random.key(0)
    names = ("train", "validation", "test")

    def all_(data: ImageTasks, task: jax.Array) -> Any:
        return [*(data.pool(name, task) for name in names), data.draw("train", task, key, 16)]

    tasks = jnp.arange(6)
    once = jax.jit(jax.vmap(lambda t: all_(*data.transformed_once(t, names))))(tasks)
    chex.assert_trees_all_close(once, jax.jit(jax.vmap(lambda t: all_(data, t)))(tasks), atol=1e-5)


def test_images_that_change_with_each_draw_or_not_at_all_stay_as_they_are(
    plain: ImageFamily,
) -> None:
    flipped = family(augment={"flip": True, "crop": 0}, transform=ALL)
    for data in (plain.device_data, flipped.device_data):
        assert data.transformed_once(jnp.int32(1), ("train",))[0] is data


def test_tasks_vmap(changed: ImageFamily) -> None:
    data, tasks = changed.device_data, jnp.arange(6)
    together = jax.jit(jax.vmap(lambda t: data.pool("test", t).inputs))(tasks)
    for t in range(6):
        np.testing.assert_allclose(together[t], data.pool("test", jnp.int32(t)).inputs, atol=1e-5)


def test_symmetries_are_the_group_of_the_square() -> None:
    found = transform_images.symmetries((4, 4, 2))
    assert found.shape == (8, 32)
    known = {row.tobytes() for row in found}
    assert len(known) == 8
    assert {a[b].tobytes() for a in found for b in found} == known
    np.testing.assert_array_equal(found[0], np.arange(32))
    image = random_images(1, (4, 4, 2))[0]
    turned = image[found[5]].reshape(4, 4, 2)  # upside down, then rows and columns change places
    np.testing.assert_array_equal(turned, np.rot90(image.reshape(4, 4, 2), -1))
    flat = transform_images.symmetries((2, 4, 1))
    assert flat.shape == (4, 8)
    np.testing.assert_array_equal(flat[2], [3, 2, 1, 0, 7, 6, 5, 4])


@pytest.mark.parametrize("shape", [(8, 8, 1), (4, 6, 3)])
def test_a_permutation_is_one_and_keeps_channels_together(shape: tuple[int, int, int]) -> None:
    size, channels = int(np.prod(shape)), shape[-1]
    places = transform_images.permutation(7, shape)
    assert sorted(places.tolist()) == list(range(size))
    np.testing.assert_array_equal(places % channels, np.tile(np.arange(channels), size // channels))
    assert (places != transform_images.permutation(8, shape)).any()
    np.testing.assert_array_equal(transform_images.permutation(0, shape), np.arange(size))
    images = random_images(3, shape)
    found = transformed(images, Transformation(symmetry=1, permutation=7), shape)
    upside_down = images.reshape(3, *shape)[:, ::-1].reshape(3, size)
    np.testing.assert_array_equal(found, upside_down[:, places])


def test_linear_maps_keep_lengths_and_angles() -> None:
    found = transform_images.matrices(6)
    assert found.shape == (BANK, 6, 6)
    products = np.einsum("bij,bkj->bik", found, found)
    np.testing.assert_allclose(products, np.tile(np.eye(6), (BANK, 1, 1)), atol=1e-6)
    apart = np.abs(found[:, None] - found[None]).max((2, 3))
    assert (apart + np.eye(BANK) > 0.1).all()
    images = random_images()
    mixed = transformed(images, Transformation(linear=3, permutation=5))
    np.testing.assert_allclose(mixed @ mixed.T, images @ images.T, rtol=1e-4)
    assert np.abs(mixed - transformed(images, Transformation(linear=4, permutation=5))).max() > 0.1


@pytest.mark.parametrize("largest", [1.0, 16.0, 255.0])
def test_brightness(largest: float) -> None:
    """On any scale of pixels, and within it."""
    image = np.zeros((8, 8), np.float32)
    image[2:6, 3:5] = largest
    image[2:6, 2] = largest / 4
    flat = image.reshape(1, -1)

    def of(**changes: Any) -> np.ndarray:
        found = transformed(flat, Transformation(**changes), largest=largest) / largest
        assert found.min() >= 0 and found.max() <= 1 + 1e-6
        return found.reshape(8, 8)

    share = image / largest
    np.testing.assert_allclose(of(inverted=True), 1 - share, atol=1e-6)
    thick, thin, soft = of(stroke=0.5), of(stroke=-0.5), of(blur=1.0)
    assert (thick[share == 1] == 1).all() and thick.sum() > share.sum() + 2
    np.testing.assert_allclose(thick[3, 5], 0.5)
    assert (thin[share == 1] == 1).all() and (thin[share < 1] == 0).all()
    np.testing.assert_allclose(soft.sum(), share.sum(), rtol=1e-5)
    np.testing.assert_allclose(soft[4, 2:6], [0.375, 0.8125, 0.75, 0.25], atol=1e-6)
    assert of(middle=0.25)[3, 2] == pytest.approx(0.1)  # 1/4 / (2 * 3/4 + 1)
    np.testing.assert_allclose(of(contrast=0.5, level=0.3), 0.15 + share / 2, atol=1e-6)


def test_strokes_and_blur_reach_farther_in_large_images() -> None:
    image = np.zeros((28, 28), np.float32)
    image[14, 14] = 1
    for changes in ({"stroke": 0.5}, {"blur": 0.5}):
        found = transformed(image.reshape(1, -1), Transformation(**changes), (28, 28, 1))
        reached = np.argwhere(found.reshape(28, 28) > 0)
        assert np.abs(reached - 14).max() == 2


def test_what_lies_outside_the_range_of_training_images_is_cut() -> None:
    images = np.full((1, 64), 3.0)
    np.testing.assert_allclose(transformed(images, Transformation(inverted=True)), 0, atol=1e-6)
