"""The record that every data source gives, and the checks that all of them pass."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np

from mole_jax.core.errors import UserError

NUMBERING = "; np.unique(label, return_inverse=True)[1] numbers them from 0"


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A labelled image data set in memory."""

    name: str
    images: np.ndarray  # [N, H, W, channels] uint8, or float32 where the source is not uint8
    labels: np.ndarray  # [N] int32
    n_classes: int
    official_test: np.ndarray  # [N] bool: the source's own test set, all False where it has none
    class_source: np.ndarray  # [n_classes] int32: which of `sources` a class comes from
    sources: tuple[str, ...]  # names; one, unless data sets are mixed
    class_names: tuple[str, ...] | None = None  # for people to read, where the source has them
    white: float | None = None  # the brightest pixel there may be, where the source has one

    @functools.cached_property
    def sha256(self) -> str:
        """A hash of images and labels, by which a record says what was trained on."""
        found = hashlib.sha256(f"{self.images.dtype} {self.images.shape}".encode())
        found.update(np.ascontiguousarray(self.images).data)
        found.update(np.ascontiguousarray(self.labels).data)
        return found.hexdigest()


def checked(
    where: str,
    name: str,
    image: np.ndarray,
    label: np.ndarray,
    test: np.ndarray | None,
    *,
    class_names: tuple[str, ...] | None = None,
    white: float | None = None,
) -> ImageData:
    """Make a data set of one source's arrays, or say what is wrong with them.

    Args:
        where: what the user knows the source by, such as its file; opens every message.
        name: of the data set; the ids of data subsets are made from it.
        image: [N, H, W] or [N, H, W, channels], numbers; uint8 stays, the rest becomes float32.
        label: [N] whole numbers 0..K-1, each with some images.
        test: [N] bool, the source's own test set; None where it has none.
        class_names: of each class.
        white: the brightest pixel there may be.

    Raises:
        UserError: for wrong shapes or types, pixels that are not finite in float32, and labels out
            of range.
    """
    _check_shapes(where, image, label, test)
    images = image[..., None] if image.ndim == 3 else image
    test = np.zeros(label.shape, bool) if test is None else test
    if images.dtype.kind not in "uif" or label.dtype.kind not in "ui" or test.dtype != bool:
        raise UserError(
            f"{where}: image, label and test are {image.dtype}, {label.dtype} and {test.dtype}; "
            f"expected numbers, whole numbers and bool{_numbering(label)}"
        )
    if images.dtype != np.uint8:
        with np.errstate(over="ignore"):  # what overflows is refused below
            cast = images.astype(np.float32)
        finite = np.isfinite(cast).all((1, 2, 3))
        if not finite.all():
            image_number = finite.argmin()
            fault = "NaN or infinite pixels; leave it out"
            if np.isfinite(images[image_number]).all():
                fault = "pixels that float32 cannot hold; scale the images"
            raise UserError(f"{where}: image {image_number} has {fault}")
        images = cast
    if label.min() < 0:
        problem = f"label {label.min()}"
    else:
        # Not by bincount: a garbled label may be larger than memory.
        present = np.unique(label)
        gaps = np.flatnonzero(present != np.arange(len(present)))
        problem = f"no image of class {gaps[0]}, but label {present[-1]}" if len(gaps) else ""
    if problem:
        raise UserError(
            f"{where}: it has {problem}; labels must be 0..K-1, each with some images{NUMBERING}"
        )
    n_classes = len(present)
    return ImageData(
        name=name,
        images=images,
        labels=label.astype(np.int32),
        n_classes=n_classes,
        official_test=test,
        class_source=np.zeros(n_classes, np.int32),
        sources=(name,),
        class_names=class_names,
        white=white,
    )


def _numbering(label: np.ndarray) -> str:
    """Say how labels that are names or numbers of another kind become 0..K-1."""
    return NUMBERING if label.ndim == 1 and label.dtype.kind in "USf" else ""


def _check_shapes(
    where: str, image: np.ndarray, label: np.ndarray, test: np.ndarray | None
) -> None:
    if label.ndim == 2 and len(label) == len(image) and label.shape[1]:
        what, remedy = "one-hot", "label.argmax(1)"
        if label.shape[1] == 1:
            what, remedy = "a column", "label[:, 0]"
        raise UserError(
            f"{where}: label {label.shape} looks like {what}; one number is wanted for each image, "
            f"[N]: store {remedy}"
        )
    fits = image.ndim in (3, 4) and image.size and label.shape == image.shape[:1]
    if fits and (test is None or test.shape == label.shape):
        return
    found = [f"image {image.shape}", f"label {label.shape}"]
    wanted = ["[N, H, W] or [N, H, W, channels]", "[N]"]
    if test is not None:
        found.append(f"test {test.shape}")
        wanted.append("[N]")
    raise UserError(
        f"{where}: {' and '.join(found)} do not belong together; expected {' and '.join(wanted)}"
    )
