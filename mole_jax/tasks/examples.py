"""Examples of a task as arrays: what networks are trained on and what the meta-model is shown."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax


class Examples(NamedTuple):
    """Examples of one task; the mask marks those that are not padding.

    Where examples have no labels (transitions of an environment) all labels are 0.
    """

    inputs: jax.Array  # [..., n, F]
    labels: jax.Array  # [..., n] int32 in 0..K-1
    mask: jax.Array  # [..., n] bool
    # [...] int32: number n of classes of the task, labels 0..n-1; None where every task has all K.
    n_classes: jax.Array | None = None


def check(examples: Examples, lead: tuple[int, ...] = (), size: int | None = None) -> None:
    """Assert, while a function is traced, that examples have the shapes and types given above.

    Args:
        examples: of one task, or of many.
        lead: the dimensions before n.
        size: F, where it is known.
    """
    each = (*lead, *examples.labels.shape[-1:])
    inputs, labels, mask, n_classes = examples
    message = "examples: inputs [..., n, F], labels [..., n], mask [..., n]"
    chex.assert_shape([inputs, labels, mask], [(*each, size), each, each], custom_message=message)
    message = "examples: inputs float, labels int, mask bool"
    chex.assert_type([inputs, labels, mask], [float, int, bool], custom_message=message)
    if n_classes is not None:
        chex.assert_shape(n_classes, lead, custom_message="examples: n_classes [...]")
        chex.assert_type(n_classes, int, custom_message="examples: n_classes int")
