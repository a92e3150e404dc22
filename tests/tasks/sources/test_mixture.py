"""A mixture holds its parts unchanged, with the classes of each after those before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import pools, sources, subsets
from mole_jax.tasks.sources import ImageData


def write(
    path: Path, n_classes: int, *, shape: tuple[int, ...] = (8, 8), dtype: type = np.uint8
) -> str:
    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(n_classes)
    n = 10 * n_classes
    image = rng.integers(0, 256, (n, *shape)).astype(dtype)
    np.savez(path, image=image, label=np.arange(n) % n_classes, test=np.arange(n) >= n // 2)
    return f"npz:{path}"


def assert_holds(mixed: ImageData, parts: list[ImageData]) -> None:
    """Check that each part is in the mixture as it is by itself, under the numbers of its own."""
    row = first_class = 0
    for i, part in enumerate(parts):
        rows = slice(row, row + len(part.labels))
        np.testing.assert_array_equal(mixed.images[rows], part.images)
        np.testing.assert_array_equal(mixed.labels[rows] - first_class, part.labels)
        np.testing.assert_array_equal(mixed.official_test[rows], part.official_test)
        assert np.all(mixed.class_source[mixed.labels[rows]] == i)
        row += len(part.labels)
        first_class += part.n_classes
    assert len(mixed.labels) == len(mixed.images) == len(mixed.official_test) == row
    assert mixed.n_classes == len(mixed.class_source) == first_class


def test_parts_stand_side_by_side(tmp_path: Path) -> None:
    names = [write(tmp_path / "b.npz", 3), "digits", write(tmp_path / "a.npz", 2)]
    mixed = sources.load("+".join(names))
    assert (mixed.name, mixed.sources) == ("b+digits+a", ("b", "digits", "a"))
    assert mixed.class_source.tolist() == [0] * 3 + [1] * 10 + [2] * 2
    assert (mixed.images.dtype, mixed.labels.dtype) == (np.uint8, np.int32)
    assert mixed.class_source.dtype == np.int32
    assert_holds(mixed, [sources.load(name) for name in names])


def test_one_real_part_makes_all_float32(tmp_path: Path) -> None:
    names = ["digits", write(tmp_path / "real.npz", 3, dtype=np.float64)]
    mixed = sources.load("+".join(names))
    assert mixed.images.dtype == np.float32
    assert_holds(mixed, [sources.load(name) for name in names])


def test_a_part_keeps_its_own_test_images_and_another_divides_its_images(tmp_path: Path) -> None:
    mixed = sources.load(f"digits+{write(tmp_path / 'a.npz', 2)}")
    fractions = {"train": 0.5, "support": 0.2, "validation": 0.2, "test": 0.1}
    test = pools.assign(mixed, fractions, seed=0)["test"]
    assert test.counts[10:].tolist() == [5, 5]
    rows = test.indices[10:][test.mask[10:]]
    assert mixed.official_test[rows].all()
    assert np.all(test.counts[:10] > 0)


def test_ids_of_data_subsets_are_the_same_wherever_the_files_are(tmp_path: Path) -> None:
    ids = []
    for folder in ("here", "there"):
        mixed = sources.load(f"{write(tmp_path / folder / 'a.npz', 2)}+digits")
        drawn = subsets.sample(
            mixed.name, mixed.n_classes, sizes=[2], n_train=5, n_held_out=0, seed=0
        )
        ids.append([subset.id for subset in drawn])
    assert ids[0] == ids[1]
    assert ids[0][0].startswith("a+digits-2of12-")


def test_a_plus_sign_in_a_path_joins_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c++" / "digits+more.npz"
    assert sources.load(write(path, 2)).name == "digits+more"
    assert sources.load(f"{write(path, 2)}+digits").sources == ("digits+more", "digits")


def test_images_of_different_shapes_are_refused(tmp_path: Path) -> None:
    other = write(tmp_path / "other.npz", 2, shape=(8, 8, 3))
    message = r"digits\+other: images of digits are \(8, 8, 1\) .*, those of other \(8, 8, 3\);"
    with pytest.raises(UserError, match=message):
        sources.load(f"digits+{other}")


def test_two_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"two parts are named 'digits'.* leave one out, or rename"):
        sources.load("digits+digits")
    names = [write(tmp_path / folder / "a.npz", 2) for folder in ("here", "there")]
    with pytest.raises(UserError, match="two parts are named 'a'"):
        sources.load("+".join(names))


@pytest.mark.parametrize("source", ["digits+", "+digits", "digits+mnits", "digits+digits:8"])
def test_unknown_parts_are_refused(source: str) -> None:
    with pytest.raises(UserError, match="is unknown"):
        sources.load(source)


def test_a_part_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"npz:.*nowhere\.npz: no such file"):
        sources.load(f"digits+npz:{tmp_path / 'nowhere.npz'}")
