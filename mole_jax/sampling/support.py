"""The support set, as callers give it and as the meta-model sees it."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mole_jax.core import given
from mole_jax.core.errors import UserError
from mole_jax.sampling.inputs import Inputs
from mole_jax.tasks import control, subset_sizes
from mole_jax.tasks.environments import Environment
from mole_jax.tasks.examples import Examples

# Support sets are padded so that similar sizes share one compiled sampler: to multiples of 16, and
# large ones to multiples of an eighth of the next power of two.
_LEAST = 16
# Most examples of each class that are used, in multiples of training's: glyphs-8 is as good from 10
# of each as from 75, on its training characters (docs/models.md).
MANY = 5


class Support(NamedTuple):
    """A support set, and remarks about it."""

    examples: Examples  # leaves [m, ...], with padding
    remarks: tuple[str, ...]  # what is strange about it, a line for each thing
    complete: bool  # whether every class has an example; always True for transitions


def labelled(inputs: Inputs, sizes: range, x: Any, y: Any, *, trained_with: int = 10) -> Support:
    """Make a support set of images with labels.

    Args:
        inputs: of the model's networks.
        sizes: numbers of classes that the model was trained with; K is the largest. If there are
            several, the largest label gives the task's number of classes.
        x: images [m, F] or [m, *inputs.shape], on the source's own scale.
        y: labels [m], integers in 0..K-1.
        trained_with: the most examples of each class that the model saw in training.

    Returns:
        All examples, but of each class at most `MANY` times as many as in training.

    Raises:
        UserError: for examples that do not fit.
    """
    if y is None:
        raise UserError("support set: labels are missing: give y_support, one for each image")
    n_classes = sizes[-1]
    rows, labels = np.asarray(inputs.flat("support set: x", x)), given.array("support set: y", y)
    if not len(rows):
        raise UserError("support set: it is empty: give one example or more")
    if labels.shape != (len(rows),):
        one_hot = labels.shape == (len(rows), n_classes)
        hint = ": for one-hot labels give y.argmax(1)" if one_hot else ""
        raise UserError(
            f"support set: images {list(np.shape(x))} and labels {list(labels.shape)} do not fit; "
            f"expected m images and labels [m]{hint}"
        )
    labels = as_integers(labels)
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= n_classes:
        raise UserError(f"support set: {_wrong(labels, sizes)}")
    unusual = ""
    n_classes = count(sizes, labels)
    if len(sizes) > 1 and (labels == labels[0]).all():
        raise UserError(
            f"support set: it has class {labels[0]} only: give examples of two classes or more"
        )
    if n_classes < sizes[0]:
        unusual = (
            f"support set: it has {n_classes} classes, and the model was trained with "
            f"{subset_sizes.words(sizes)}: networks may be worse than usual"
        )
    absent = _missing(labels, n_classes)
    order = _in_an_order_of_their_own(rows, labels)
    part, share = "", MANY * trained_with
    if np.bincount(labels).max() > share:
        order = _of_each_class(order, labels, share)
        part = (
            f"support set: of its {len(rows):,} examples {len(order):,} are used, at most "
            f"{share:,} of each class: the model was trained with at most {trained_with:,}; "
            "`fine_tune` trains its networks on all of them"
        )
    said = (inputs.strangeness("support set", rows), unusual, absent, part)
    examples = _padded(_scaled(inputs, rows[order]), labels[order])
    if len(sizes) > 1:
        of_task: Any = np.int32(n_classes)
        examples = examples._replace(n_classes=of_task)
    return Support(examples, tuple(line for line in said if line), not absent)


def _wrong(labels: np.ndarray, sizes: range) -> str:
    """Say which labels are not in 0..K-1, and how to number them."""
    n_classes, values = sizes[-1], labels.tolist()
    wrong = [c for c in values if not (type(c) is int and 0 <= c < n_classes)]
    one = repr(wrong[0])[:40] if wrong else f"of type {labels.dtype}"
    text = f"labels must be integers in 0..{n_classes - 1}, and one is {one}"
    there = set(map(repr, values))
    if len(sizes) > 1:
        text += f": the model is for up to {n_classes} classes"
    if len(there) > n_classes:
        text += f"; there are {len(there)} classes, and the networks have {n_classes} outputs"
    else:
        text += "; np.unique(y, return_inverse=True)[1] numbers them from 0"
    return text


def as_integers(labels: np.ndarray) -> np.ndarray:
    """Return labels, converting object arrays of Python's or NumPy's integers to int64."""
    whole = labels.dtype == object and all(
        isinstance(c, (int, np.integer)) and not isinstance(c, bool) for c in labels.tolist()
    )
    return labels.astype(np.int64) if whole else labels


def _in_an_order_of_their_own(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return an order of examples that does not depend on the given order.

    Inner steps follow the first examples of each class: with this order always the same ones.
    """
    data = np.ascontiguousarray(rows, np.float32)
    marks = [zlib.crc32(row.tobytes(), int(label)) for row, label in zip(data, labels, strict=True)]
    return np.argsort(marks, kind="stable")


def _of_each_class(order: np.ndarray, labels: np.ndarray, share: int) -> np.ndarray:
    """Return the first `share` examples of each class in an order, in that order."""
    found = [order[labels[order] == c][:share] for c in np.unique(labels)]
    return order[np.isin(order, np.concatenate(found))]


def count(sizes: range, labels: Any) -> int:
    """Count the classes of a task with these labels; see `labelled`."""
    return sizes[-1] if len(sizes) == 1 else int(np.max(labels)) + 1


def transitions(environment: Environment, size: int, x: Any, y: Any) -> Support:
    """Return transitions [m, size] as the meta-model sees them; `y` must be None.

    Raises:
        UserError: for transitions that do not fit.
    """
    if y is not None:
        raise UserError("support set: transitions have no labels: leave y_support out")
    found = given.floats("support set: x", x)
    if found.ndim != 2 or not len(found) or found.shape[1] != size:
        raise UserError(
            f"support set: transitions {list(found.shape)} do not fit; expected m of {size} "
            "numbers: observation, action, next observation"
        )
    seen = np.asarray(control.features(environment, jnp.asarray(found)))
    if not np.isfinite(seen).all():
        raise UserError("support set: x is too large: its changes in time are infinite in float32")
    return Support(_padded(seen, np.zeros(len(found), np.int32)), (), True)


def _scaled(inputs: Inputs, rows: np.ndarray) -> np.ndarray:
    scaled = inputs.standardised(rows)
    if not np.isfinite(scaled).all():
        raise UserError("support set: x is too large: standardised, it is infinite in float32")
    return scaled


def _missing(labels: np.ndarray, n_classes: int) -> str:
    """Name the classes without an example; "" where there are none."""
    there = set(labels.tolist())
    absent = [str(k) for k in range(n_classes) if k not in there]
    if not absent:
        return ""
    if len(there) == 1:
        return (
            f"support set: it has class {labels[0]} only, of 0..{n_classes - 1}: networks cannot "
            "learn from it how the classes differ; give examples of each"
        )
    shown = ", ".join(absent[:8]) + (", ..." if len(absent) > 8 else "")
    return (
        f"support set: it has no example of class {shown} (of 0..{n_classes - 1}): networks will "
        "hardly know what is missing; give examples of each class"
    )


def _padded(inputs: np.ndarray, labels: np.ndarray) -> Examples:
    """Pad examples [m, F] in the host's memory, where a new size compiles nothing."""
    m = len(inputs)
    more = -m % max(_LEAST, 2 ** (m - 1).bit_length() // 8)
    rows: Any = np.pad(inputs.astype(np.float32), ((0, more), (0, 0)))
    own: Any = np.pad(labels.astype(np.int32), (0, more))
    mask: Any = np.arange(m + more) < m
    return Examples(rows, own, mask)
