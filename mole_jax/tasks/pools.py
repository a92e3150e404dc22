"""Four disjoint image pools, and their examples arranged by class for fast indexing on device.

train       the population's gradients
support     shown to the meta-model as the condition
validation  metrics the meta-model is conditioned on; all choices are made on it
test        measured, never chosen on
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.sources import ImageData

NAMES = ("train", "support", "validation", "test")


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """One pool's examples by class, padded to the largest class.

    `indices[c, :counts[c]]` are rows of the data set; the padding repeats valid rows.
    """

    indices: np.ndarray  # [n_classes, m] int32
    counts: np.ndarray  # [n_classes] int32

    @property
    def mask(self) -> np.ndarray:  # [n_classes, m] bool
        return np.arange(self.indices.shape[1]) < self.counts[:, None]


def assign(
    data: ImageData,
    fractions: Mapping[str, float],
    *,
    seed: int,
    max_per_class: Mapping[str, int] | None = None,
) -> dict[str, ClassTable]:
    """Assign the examples of a data set to the four pools, class by class (stratified).

    Where the source has official test examples, they are the test pool and the other
    fractions, renormalised, divide the rest.

    Args:
        data: the images.
        fractions: share of each pool, positive, summing to 1.
        seed: of the shuffle; the pools depend on it and the data alone.
        max_per_class: optional cap for each pool; 0 or absent means no cap.

    Raises:
        UserError: for wrong fractions or caps, or a class that leaves a pool empty.
    """
    if set(fractions) != set(NAMES):
        raise UserError(f"data.pools needs the keys {NAMES}, it has {tuple(fractions)}")
    if min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise UserError(f"data.pools={dict(fractions)} must be positive and sum to 1")
    caps = dict(max_per_class or {})
    if not set(caps) <= set(NAMES) or min(caps.values(), default=0) < 0:
        raise UserError(
            f"data.max_per_class={caps} must give pools among {NAMES} a number of images, 0 for all"
        )
    rng = np.random.default_rng([seed, 0x9001])
    per_class: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    for c in range(data.n_classes):
        members = np.flatnonzero(data.labels == c)
        free = rng.permutation(members[~data.official_test[members]])
        official = rng.permutation(members[data.official_test[members]])
        names = NAMES[:-1] if len(official) else NAMES
        share = np.array([fractions[name] for name in names])
        cuts = np.round(np.cumsum(share / share.sum()) * len(free)).astype(int)[:-1]
        parts = dict(zip(names, np.split(free, cuts), strict=True))
        if len(official):
            parts["test"] = official
        for name in NAMES:
            cap = caps.get(name, 0)
            part = parts[name][:cap] if cap else parts[name]
            if not len(part):
                raise UserError(
                    f"data.pools: class {c} of {data.name} has no example left for the {name} pool "
                    f"({len(members)} in all); give that pool a larger share"
                )
            per_class[name].append(np.sort(part))
    return {name: _table(rows) for name, rows in per_class.items()}


def digest(table: ClassTable) -> str:
    """Return a short fingerprint of a pool's example rows, for the split manifest."""
    rows = np.sort(table.indices[table.mask]).astype("<i4")
    return hashlib.sha256(rows.tobytes()).hexdigest()[:16]


def _table(rows: list[np.ndarray]) -> ClassTable:
    width = max(len(r) for r in rows)
    return ClassTable(
        indices=np.stack([np.resize(r, width) for r in rows]).astype(np.int32),
        counts=np.array([len(r) for r in rows], np.int32),
    )
