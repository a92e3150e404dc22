"""Examples of a task as arrays: what networks are trained on and what the meta-model is shown."""

from __future__ import annotations

from typing import NamedTuple

import jax


class Examples(NamedTuple):
    """Examples of one task; the mask marks those that are not padding.

    Where examples have no labels (transitions of an environment) all labels are 0.
    """

    inputs: jax.Array  # [..., n, F]
    labels: jax.Array  # [..., n] int32 in 0..K-1
    mask: jax.Array  # [..., n] bool
