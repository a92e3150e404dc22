"""Made-up TFDS data sets: images that are files or tensors, built without TensorFlow."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

Examples = list[dict[str, Any]]
CONFIG = tfds.core.BuilderConfig(name="small", version="1.0.0")


def examples(
    n: int, shape: tuple[int, ...] = (5, 4, 3), *, seed: int = 0, dtype: type = np.uint8
) -> Examples:
    """Return n examples of random pixels, with labels 0, 1, 2, 0, ..."""
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype(dtype)
    return [{"image": image, "label": i % 3} for i, image in enumerate(images)]


def as_files(pixels: Examples) -> Examples:
    """Return the examples with PNG files for images, as TensorFlow would encode them."""
    return [example | {"image": _png(example["image"])} for example in pixels]


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return file.getvalue()


def features(image: Any, label: Any = None, **others: Any) -> dict[str, Any]:
    """Return TFDS features of labelled images."""
    return {"image": image, "label": label or tfds.features.ClassLabel(num_classes=3), **others}


def prepare(
    folder: Path,
    name: str,
    features: dict[str, Any],
    splits: dict[str, Examples],
    *,
    config: bool = False,
    file_format: str = "array_record",
) -> Path:
    """Build a data set in a folder as `tfds build` would; return where its files are."""
    made = builder_class(name, features, splits, config=config)
    built = made(data_dir=str(folder), file_format=file_format)
    built.download_and_prepare()
    return Path(built.data_path)


def builder_class(
    dataset: str, parts: dict[str, Any], splits: dict[str, Examples], *, config: bool = False
) -> Any:
    """Return a TFDS builder that gives these examples, which TFDS itself does not list."""

    class MadeUp(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = dataset
        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = [CONFIG] if config else []

        def _info(self) -> tfds.core.DatasetInfo:
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(parts))

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            return {split: self._generate_examples(rows) for split, rows in splits.items()}

        def _generate_examples(self, rows: Iterable[Any]) -> Iterator[tuple[int, Any]]:
            return iter(enumerate(rows))

    return MadeUp
