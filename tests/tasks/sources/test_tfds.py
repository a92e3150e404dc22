"""TFDS data sets are read without TensorFlow, and what cannot be read says how to mend it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mole_jax.core.errors import UserError
from mole_jax.tasks import sources
from mole_jax.tasks.sources import ImageData
from mole_jax.tasks.sources import tfds as source
from tests.tasks.sources import made_up
from tests.tasks.sources.made_up import Examples

TENSOR = made_up.features(tfds.features.Tensor(shape=(5, 4, 3), dtype=np.uint8))
FILES = made_up.features(tfds.features.Image(shape=(5, 4, 3)))


def content(images: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    """Return labelled images in an order that does not depend on TFDS's shuffling."""
    return sorted(zip(map(bytes, images), map(int, labels), strict=True))


def assert_holds(data: ImageData, train: Examples, test: Examples) -> None:
    for rows, chosen in ((train, ~data.official_test), (test, data.official_test)):
        expected = content(
            np.stack([e["image"] for e in rows]), np.array([e["label"] for e in rows])
        )
        assert content(data.images[chosen], data.labels[chosen]) == expected


@pytest.mark.parametrize("kind", ["tensors", "files"])
def test_a_prepared_data_set_is_read(tmp_path: Path, kind: str) -> None:
    train, test = made_up.examples(30), made_up.examples(12, seed=1)
    if kind == "files":
        splits = {"train": made_up.as_files(train), "test": made_up.as_files(test)}
        made_up.prepare(tmp_path, "shapes", FILES, splits)
    else:
        made_up.prepare(tmp_path, "shapes", TENSOR, {"train": train, "test": test})
    data = sources.load(f"tfds:shapes@{tmp_path}")
    assert (data.name, data.n_classes, data.sources) == ("shapes", 3, ("shapes",))
    assert data.class_source.tolist() == [0, 0, 0]
    assert data.images.shape == (42, 5, 4, 3)
    assert (data.images.dtype, data.labels.dtype) == (np.uint8, np.int32)
    assert_holds(data, train, test)


def test_grey_files_have_one_channel(tmp_path: Path) -> None:
    train = made_up.examples(9, (5, 4, 1))
    features = made_up.features(tfds.features.Image(shape=(5, 4, 1)))
    made_up.prepare(tmp_path, "grey", features, {"train": made_up.as_files(train)})
    data = sources.load(f"tfds:grey@{tmp_path}")
    assert data.images.shape == (9, 5, 4, 1)
    assert not data.official_test.any()
    assert content(data.images, data.labels) == content(
        np.stack([e["image"] for e in train]), np.array([e["label"] for e in train])
    )


def test_real_tensors_without_channels_become_float32(tmp_path: Path) -> None:
    train = made_up.examples(9, (5, 4), dtype=np.float64)
    features = made_up.features(
        tfds.features.Tensor(shape=(5, 4), dtype=np.float64),
        tfds.features.Tensor(shape=(), dtype=np.int32),
    )
    made_up.prepare(tmp_path, "real", features, {"train": train})
    data = sources.load(f"tfds:real@{tmp_path}")
    assert (data.images.shape, data.images.dtype) == ((9, 5, 4, 1), np.float32)
    assert sorted(data.images.sum((1, 2, 3))) == sorted(e["image"].sum() for e in train)


def test_other_splits_and_features_are_left_alone(tmp_path: Path) -> None:
    features = FILES | {"id": tfds.features.Text(), "mask": tfds.features.Image(shape=(2, 2, 1))}
    # Were it read, this mask would be refused: it is no image file.
    rows = [e | {"id": "x", "mask": b"no png"} for e in made_up.as_files(made_up.examples(6))]
    made_up.prepare(tmp_path, "many", features, {"train": rows, "extra": rows, "validation": rows})
    assert len(sources.load(f"tfds:many@{tmp_path}").images) == 6


def test_a_config_is_part_of_the_name(tmp_path: Path) -> None:
    made_up.prepare(tmp_path, "many", TENSOR, {"train": made_up.examples(6)}, config=True)
    for name in ("many", "many/small", "many/small:1.0.0"):
        assert sources.load(f"tfds:{name}@{tmp_path}").name == "many-small"


@pytest.mark.parametrize(("short", "full"), source.SHORT_NAMES.items())
def test_short_names_are_read_from_the_usual_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: str, full: str
) -> None:
    made_up.prepare(tmp_path, full, TENSOR, {"train": made_up.examples(6)})
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for name in (short, f"tfds:{full}"):
        data = sources.load(name)
        assert (data.name, len(data.images)) == (full, 6)


def test_without_a_folder_it_is_looked_for_where_tfds_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert source.default_folder() == tmp_path / "tensorflow_datasets"
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "mine"))
    assert source.default_folder() == tmp_path / "mine"


PROGRAM = """
import json, sys
from mole_jax.tasks import sources
before = "tensorflow_datasets" in sys.modules
data = sources.load(sys.argv[1])
print(json.dumps([before, "tensorflow" in sys.modules, "jax" in sys.modules, len(data.images)]))
"""


def test_neither_tensorflow_nor_anything_slow_is_imported(tmp_path: Path) -> None:
    # MNIST, whose code TFDS has: it must not be run for reading.
    splits = {"train": made_up.as_files(made_up.examples(6))}
    made_up.prepare(tmp_path, "mnist", FILES, splits)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, f"tfds:mnist@{tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")  # no warning about OpenCV, either
    assert json.loads(ran.stdout) == [False, False, False, 6]


def test_what_is_not_prepared_says_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError) as caught:
        sources.load("svhn")
    assert str(caught.value).endswith("; run: python launch/prepare_data.py svhn_cropped")
    with pytest.raises(UserError) as caught:
        sources.load(f"tfds:emnist/letters@{tmp_path / 'other'}")
    assert f"is not prepared in {tmp_path / 'other'}; run: python launch/" in str(caught.value)
    assert str(caught.value).endswith(f"emnist/letters --data_dir={tmp_path / 'other'}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "unknown to TFDS, and not in .*; did you mean 'mnist'"),
        ("xyzzy_plugh", "unknown to TFDS, and not in .*; see tensorflow.org/datasets/catalog"),
        ("fashion mnist", "unknown to TFDS, .* did you mean 'fashion_mnist'"),
        ("huggingface:mnist", "unknown to TFDS"),
        ("../mnist", "unknown to TFDS"),
    ],
)
def test_unknown_names_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        sources.load(f"tfds:{name}@{tmp_path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("features", "row"),
    [
        ({"label": TENSOR["label"]}, {"label": 0}),
        ({"image": TENSOR["image"]}, {"image": np.zeros((5, 4, 3), np.uint8)}),
        (
            TENSOR | {"label": tfds.features.Text()},
            {"image": np.zeros((5, 4, 3), np.uint8), "label": "cat"},
        ),
        (
            TENSOR | {"label": tfds.features.Tensor(shape=(2,), dtype=np.int64)},
            {"image": np.zeros((5, 4, 3), np.uint8), "label": np.array([0, 1])},
        ),
        (
            TENSOR | {"label": tfds.features.Tensor(shape=(), dtype=np.float32)},
            {"image": np.zeros((5, 4, 3), np.uint8), "label": np.float32(0.5)},
        ),
        (TENSOR | {"image": tfds.features.Text()}, {"image": "a cat", "label": 0}),
    ],
)
def test_data_sets_without_labelled_images_are_refused(
    tmp_path: Path, features: dict[str, Any], row: dict[str, Any]
) -> None:
    made_up.prepare(tmp_path, "other", features, {"train": [row]})
    with pytest.raises(UserError, match=r"no images with one label each: .* it has \w+ \(\w+\)"):
        sources.load(f"tfds:other@{tmp_path}")


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test": made_up.examples(6)}, r"no split 'train', only \['test'\]"),
        ({"train": made_up.examples(6, (6, 6, 3)) + made_up.examples(6)}, "use a data set of one"),
        (
            {"train": made_up.examples(6), "test": made_up.examples(6, (6, 6, 3))},
            r"images of train are \(5, 4, 3\), those of test \(6, 6, 3\); use a data set of one",
        ),
        ({"train": [e | {"label": 2} for e in made_up.examples(6)]}, "it has no image of class 0"),
    ],
)
def test_data_sets_of_the_wrong_form_are_refused(
    tmp_path: Path, splits: dict[str, Examples], message: str
) -> None:
    features = made_up.features(tfds.features.Image(shape=(None, None, 3)))
    rows = {split: made_up.as_files(examples) for split, examples in splits.items()}
    made_up.prepare(tmp_path, "odd", features, rows)
    with pytest.raises(UserError, match=message):
        sources.load(f"tfds:odd@{tmp_path}")


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    rows = made_up.examples(6, dtype=np.float32)
    rows[4]["image"][0, 0, 0] = np.nan
    features = made_up.features(tfds.features.Tensor(shape=(5, 4, 3), dtype=np.float32))
    made_up.prepare(tmp_path, "holes", features, {"train": rows})
    with pytest.raises(UserError, match="has NaN or infinite pixels"):
        sources.load(f"tfds:holes@{tmp_path}")


@pytest.mark.parametrize("kind", ["tensors", "files"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "garbled"])
def test_damaged_records_are_refused(tmp_path: Path, kind: str, damage: str) -> None:
    rows = made_up.examples(30)
    features, rows = (FILES, made_up.as_files(rows)) if kind == "files" else (TENSOR, rows)
    folder = made_up.prepare(tmp_path, "shapes", features, {"train": rows})
    (path,) = folder.glob("*array_record*")
    content = path.read_bytes()
    path.unlink()
    if damage == "empty":
        path.touch()
    elif damage == "half":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "garbled":
        path.write_bytes(bytes(byte ^ 0x55 for byte in content))
    with pytest.raises(UserError, match=r"split 'train' cannot be read .* prepare the data set ag"):
        sources.load(f"tfds:shapes@{tmp_path}")


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_damaged_descriptions_are_refused(tmp_path: Path, name: str) -> None:
    folder = made_up.prepare(tmp_path, "shapes", TENSOR, {"train": made_up.examples(6)})
    (folder / name).write_text("{")
    with pytest.raises(
        UserError, match=r"cannot be read from .*; remove .* and run: python launch"
    ):
        sources.load(f"tfds:shapes@{tmp_path}")


def test_files_that_need_tensorflow_are_refused(tmp_path: Path) -> None:
    folder = made_up.prepare(tmp_path, "shapes", TENSOR, {"train": made_up.examples(6)})
    # As it is after TFDS has prepared the data set in its usual format.
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    for path in folder.glob("*array_record*"):
        path.rename(str(path).replace("array_record", "tfrecord"))
    with pytest.raises(UserError, match=r"holds tfrecord files, which need TensorFlow; prepare"):
        sources.load(f"tfds:shapes@{tmp_path}")


def test_what_is_read_is_kept_and_cannot_be_changed(tmp_path: Path) -> None:
    made_up.prepare(tmp_path, "shapes", TENSOR, {"train": made_up.examples(6)})
    data = sources.load(f"tfds:shapes@{tmp_path}")
    assert sources.load(f"tfds:shapes@{tmp_path}") is data
    with pytest.raises(ValueError, match="read-only"):
        data.images[0] = 0
