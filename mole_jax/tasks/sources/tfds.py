"""`tfds:NAME`: data sets of TensorFlow Datasets in ArrayRecord files, read without TensorFlow."""

from __future__ import annotations

import difflib
import functools
import os
import pathlib
import re
import shlex
from typing import Any

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage.paths import user_path
from mole_jax.tasks.sources.image_data import ImageData, checked

SHORT_NAMES = {
    "mnist": "mnist",
    "fashion_mnist": "fashion_mnist",
    "cifar10": "cifar10",
    "svhn": "svhn_cropped",
}
FILE_FORMAT = "array_record"  # the one that is read at random places without TensorFlow
_NAME = re.compile(r"[A-Za-z]\w*(/[\w+.-]+)?(:\d+\.\d+\.\d+)?")  # NAME/CONFIG:VERSION
_BATCH = 1024  # records read at a time


def read(argument: str) -> ImageData:
    """Load the `train` and `test` splits of a prepared data set; `test` is the official test.

    Other splits (svhn's `extra`, say) are left alone, and so are features other than `image` and
    `label`. A data set with configs has the config in its name: emnist/letters is emnist-letters.

    Args:
        argument: NAME or NAME@DIR; NAME as TFDS has it, also NAME/CONFIG and NAME:VERSION. Without
            DIR, it is looked for where TFDS keeps them: see `default_folder`.

    Raises:
        UserError: when TFDS does not know it, it is not prepared, is damaged, or has no labelled
            images.
    """
    name, _, folder_name = argument.partition("@")
    return _read(name, user_path(folder_name) if folder_name else default_folder())


# Decoding takes 0.2 ms an image, and each stage of a run asks for the same data set.
@functools.lru_cache(maxsize=4)
def _read(name: str, folder: pathlib.Path) -> ImageData:
    builder = find(name, folder)
    if builder is None:
        raise UserError(
            f"data.source=tfds:{name} is not prepared in {folder}; run: {command(name, folder)}"
        )
    require_labelled_images(name, builder.info.features)
    if "train" not in builder.info.splits:
        raise UserError(
            f"data.source=tfds:{name} has no split 'train', only {sorted(builder.info.splits)}; "
            "use another data set"
        )
    where = str(builder.data_path)
    splits = [split for split in ("train", "test") if split in builder.info.splits]
    images, labels = zip(*(_read_split(builder, split) for split in splits), strict=True)
    if len({image.shape[1:] for image in images}) > 1:
        raise UserError(
            f"{where}: images of train are {images[0].shape[1:]}, those of test "
            f"{images[1].shape[1:]}; use a data set of one shape"
        )
    config = builder.builder_config
    data = checked(
        where,
        f"{builder.name}-{config.name}" if config else builder.name,
        np.concatenate(images),
        np.concatenate(labels),
        np.repeat([split == "test" for split in splits], [len(label) for label in labels]),
    )
    data.images.setflags(write=False)  # all callers share it
    data.labels.setflags(write=False)
    return data


def default_folder() -> pathlib.Path:
    """Return TFDS_DATA_DIR where it is set, else ~/tensorflow_datasets, as TFDS itself does."""
    return user_path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def command(name: str, folder: pathlib.Path) -> str:
    """Return the command that prepares a data set in a folder."""
    place = "" if folder == default_folder() else f" --data_dir={shlex.quote(str(folder))}"
    return f"python launch/prepare_data.py {name}{place}"


def find(name: str, folder: pathlib.Path) -> Any:
    """Return TFDS's read-only builder of a data set prepared in a folder, None where there is none.

    Raises:
        UserError: when it is neither there nor known to TFDS, cannot be read, or is in a file
            format that only TensorFlow reads.
    """
    # Imported here, because it is slow and needed by this source alone.
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    try:
        if not _NAME.fullmatch(name):
            raise tfds.core.DatasetNotFoundError
        builder = read_only_builder.builder_from_files(name, data_dir=str(folder))
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        plain = re.split("[/:]", name)[0]
        if _NAME.fullmatch(name) and plain in known:
            return None
        near = difflib.get_close_matches(plain, known, n=1)
        raise UserError(
            f"data.source=tfds:{name} is unknown to TFDS, and not in {folder} either"
            + (f"; did you mean {near[0]!r}?" if near else "; see tensorflow.org/datasets/catalog")
        ) from None
    except Exception as error:  # JSON, protobuf and TFDS each have their own
        raise UserError(
            f"data.source=tfds:{name} cannot be read from {folder} ({_line(error)}); "
            f"remove {folder / name} and run: {command(name, folder)}"
        ) from error
    formats = sorted(form.value for form in builder.info.available_file_formats())
    if FILE_FORMAT not in formats:
        raise UserError(
            f"{builder.data_path} holds {', '.join(formats)} files, which need TensorFlow; prepare "
            f"the data set in another folder: {command(name, folder / FILE_FORMAT)}"
        )
    return builder


def require_labelled_images(name: str, features: Any) -> None:
    """Check a data set's features: `image` an image or a tensor, `label` one whole number.

    Raises:
        UserError: naming the features it has.
    """
    import tensorflow_datasets as tfds

    parts = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = parts.get("image"), parts.get("label")
    # Exactly Tensor: sequences, videos and texts are kinds of it.
    is_image = isinstance(image, tfds.features.Image) or type(image) is tfds.features.Tensor
    is_label = label is not None and label.shape == () and np.issubdtype(label.np_dtype, np.integer)
    if not (is_image and is_label):
        kinds = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in parts.items())
        raise UserError(
            f"data.source=tfds:{name} has no images with one label each: it needs the features "
            f"image and label (a whole number), it has {kinds or 'none'}; use another data set"
        )


def _read_split(builder: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read images [N, H, W, ...] and labels [N] of one split."""
    import tensorflow_datasets as tfds

    wanted = tfds.features.FeaturesDict({k: builder.info.features[k] for k in ("image", "label")})
    feature = wanted["image"]
    is_file = isinstance(feature, tfds.features.Image)  # PNG or JPEG
    decoders = {"image": tfds.decode.SkipDecoding()} if is_file else None
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    try:
        records = builder.as_data_source(
            split,
            deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
            file_format=FILE_FORMAT,
        )
        for start in range(0, len(records), _BATCH):
            for record in records.__getitems__(range(start, min(start + _BATCH, len(records)))):
                # ArrayRecord silently gives empty records for a file that is cut short.
                if not record:
                    raise ValueError(f"record {len(images)} is empty")
                example = wanted.deserialize_example_np(record, decoders=decoders)
                image = example["image"]
                if is_file:  # decoded by Pillow; TFDS's own choice warns where OpenCV is missing
                    image = feature.decode_example_np_with_pil(image, feature.shape[-1])
                images.append(image)
                labels.append(example["label"])
    except Exception as error:  # ArrayRecord, protobuf and Pillow each have their own
        raise UserError(
            f"{builder.data_path}: split {split!r} cannot be read ({_line(error)}); move that "
            "folder elsewhere and prepare the data set again with launch/prepare_data.py"
        ) from error
    for i, image in enumerate(images):
        if image.shape != images[0].shape:
            raise UserError(
                f"{builder.data_path}: image {i} of {split!r} is {image.shape}, the first "
                f"{images[0].shape}; use a data set of one shape"
            )
    return np.array(images), np.array(labels)


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
