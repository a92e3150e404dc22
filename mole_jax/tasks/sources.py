"""Data sources: where images and labels come from.

`digits`    scikit-learn's 1,797 8x8 digits, embedded in the package
`idx:DIR`   the MNIST family's four IDX files, raw or gzipped
`npz:FILE`  anyone's arrays: `image` [N, H, W] or [N, H, W, channels], `label` [N], and where the
            source has a test split of its own, `test` [N], true for what belongs to it
"""

from __future__ import annotations

import dataclasses
import gzip
import math
import pathlib
import zipfile
import zlib

import numpy as np

from mole_jax.core.errors import UserError

_IDX_UBYTE = 0x08
_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A labelled image data set in memory."""

    name: str
    images: np.ndarray  # [N, H, W, channels] uint8, or float32 from npz
    labels: np.ndarray  # [N] int32
    n_classes: int
    official_test: np.ndarray  # [N] bool: the source's own test split, all False where it has none
    sources: tuple[str, ...] = ()
    class_source: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int32))

    def __post_init__(self) -> None:
        if not self.sources:
            object.__setattr__(self, "sources", (self.name,))
            object.__setattr__(self, "class_source", np.zeros(self.n_classes, np.int32))


def load(source: str) -> ImageData:
    """Load a data source by its name in the config.

    Args:
        source: "digits", "idx:DIR" or "npz:FILE".

    Raises:
        UserError: for an unknown source, a missing or a damaged file.
    """
    kind, _, argument = source.partition(":")
    if kind == "digits" and not argument:
        return _digits()
    if kind == "idx" and argument:
        return _idx(pathlib.Path(argument).expanduser())
    if kind == "npz" and argument:
        return _npz(pathlib.Path(argument).expanduser())
    raise UserError(f"data.source={source!r} is unknown; use 'digits', 'idx:DIR' or 'npz:FILE'")


def _digits() -> ImageData:
    from sklearn import datasets  # slow to import, and needed by this source alone

    images, labels = datasets.load_digits(return_X_y=True)
    return ImageData(
        name="digits",
        images=images.reshape(-1, 8, 8, 1).astype(np.uint8),
        labels=labels.astype(np.int32),
        n_classes=10,
        official_test=np.zeros(len(labels), bool),
    )


def _idx(folder: pathlib.Path) -> ImageData:
    if not folder.is_dir():
        raise UserError(
            f"data.source=idx:{folder}: no such folder; it should hold "
            f"{', '.join(name for pair in _IDX_FILES.values() for name in pair)} (or .gz). "
            "Debian has Fashion-MNIST: apt-get install dataset-fashion-mnist"
        )
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    test: list[np.ndarray] = []
    for split, (image_name, label_name) in _IDX_FILES.items():
        image, label = read_idx(_find(folder, image_name)), read_idx(_find(folder, label_name))
        if image.ndim != 3 or label.ndim != 1 or len(image) != len(label) or not len(label):
            raise UserError(
                f"{folder}: {image_name} {image.shape} and {label_name} {label.shape} do not "
                "belong together; expected [N, H, W] and [N] with N > 0"
            )
        if images and image.shape[1:] != images[0].shape[1:]:
            raise UserError(
                f"{folder}: {image_name} has images of {image.shape[1:]} pixels, those for "
                f"training have {images[0].shape[1:]}; the four files are not of one data set"
            )
        images.append(image)
        labels.append(label)
        test.append(np.full(len(label), split == "test"))
    label = np.concatenate(labels).astype(np.int32)
    return ImageData(
        name=folder.resolve().name,  # "idx:." has a name, too
        images=np.concatenate(images)[..., None],
        labels=label,
        n_classes=int(label.max()) + 1,
        official_test=np.concatenate(test),
    )


def _npz(path: pathlib.Path) -> ImageData:
    if not path.is_file():
        raise UserError(
            f"data.source=npz:{path}: no such file; make it with "
            "numpy.savez(FILE, image=..., label=...)"
        )
    try:
        # Opened here, because NumPy leaves a file open whose beginning it cannot read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: cannot be read as npz ({error}); make it again") from error
    if missing := [name for name in ("image", "label") if name not in arrays]:
        raise UserError(
            f"{path}: it has no array {missing[0]!r}, only {sorted(arrays)}; "
            "expected image [N, H, W] or [N, H, W, channels] and label [N]"
        )
    image, label = arrays["image"], arrays["label"]
    test = arrays.get("test", np.zeros(label.shape, bool))
    if image.ndim == 3:
        image = image[..., None]
    fits = image.ndim == 4 and label.ndim == 1 and image.size and test.shape == label.shape
    if not fits or len(image) != len(label):
        raise UserError(
            f"{path}: image {arrays['image'].shape}, label {label.shape} and test {test.shape} do "
            "not belong together; expected [N, H, W] or [N, H, W, channels], [N] and [N]"
        )
    if image.dtype.kind not in "uif" or label.dtype.kind not in "ui" or test.dtype != bool:
        raise UserError(
            f"{path}: image, label and test are {image.dtype}, {label.dtype} and {test.dtype}; "
            "expected numbers, whole numbers and bool"
        )
    if image.dtype != np.uint8:
        image = image.astype(np.float32)
        if not np.isfinite(image).all():
            bad = np.flatnonzero(~np.isfinite(image).all((1, 2, 3)))
            raise UserError(f"{path}: image {bad[0]} has NaN or infinite pixels; leave it out")
    n_classes = int(label.max()) + 1
    counts = np.bincount(label[label >= 0], minlength=n_classes)
    if label.min() < 0 or not counts.all():
        what = f"label {label.min()}" if label.min() < 0 else f"no image of class {counts.argmin()}"
        raise UserError(f"{path}: it has {what}; labels must be 0..K-1, each with some images")
    return ImageData(path.stem, image, label.astype(np.int32), n_classes, test)


def _find(folder: pathlib.Path, name: str) -> pathlib.Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise UserError(f"{folder}: neither {name} nor {name}.gz is there")


def read_idx(path: pathlib.Path) -> np.ndarray:
    """Read one IDX file of unsigned bytes (format: yann.lecun.com/exdb/mnist), raw or gzipped.

    Raises:
        UserError: when it is not an IDX file of bytes, or is cut short.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}); fetch it again") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _IDX_UBYTE:
        raise UserError(f"{path}: not an IDX file of unsigned bytes")
    header = 4 + 4 * data[3]
    if len(data) < header:
        raise UserError(f"{path}: its header is cut short; fetch it again")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", count=data[3], offset=4))
    expected = math.prod(shape)
    if len(data) != header + expected:
        raise UserError(
            f"{path}: {len(data) - header} bytes of data, its header announces {expected} "
            f"for {shape}; fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
